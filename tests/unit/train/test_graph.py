import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose
from onnx import TensorProto, helper, numpy_helper

torch = pytest.importorskip("torch")

from millscale.core.errors import ModelError  # noqa: E402
from millscale.runtime.backends.onnxruntime import Network  # noqa: E402
from millscale.train.graph import PooledGraph  # noqa: E402


def model(nodes, weights) -> bytes:
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", channels, f"{name}_h", f"{name}_w"])
        for name, channels in (("image", 3), ("fine", 4), ("coarse", 6))
    ]
    initial = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], initial)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return bytes(made.SerializeToString())


def residual(**stem) -> bytes:
    """A strided convolution, a depthwise one with a short cut, and a 1×1 convolution without bias."""
    rng = np.random.default_rng(0)
    shapes = {"a.w": (4, 3, 3, 3), "a.b": (4,), "b.w": (4, 1, 3, 3), "b.b": (4,), "c.w": (6, 4, 1, 1)}
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    nodes = [
        helper.make_node("Conv", ["image", "a.w", "a.b"], ["a"], **{"strides": [2, 2], "pads": [1, 1, 1, 1]} | stem),
        helper.make_node("Relu", ["a"], ["a.relu"]),
        helper.make_node("Conv", ["a.relu", "b.w", "b.b"], ["b"], pads=[2, 2, 2, 2], dilations=[2, 2], group=4),
        helper.make_node("Add", ["a.relu", "b"], ["fine"]),
        helper.make_node("Conv", ["fine", "c.w"], ["coarse"]),
    ]
    return model(nodes, weights)


def test_the_graph_computes_what_onnx_runtime_computes():
    data, images = residual(), np.random.default_rng(1).normal(size=(2, 3, 11, 14)).astype(np.float32)
    fine, coarse = Network(data, "g", threads=1).run({"image": images})
    network = PooledGraph(data)
    found = network(torch.from_numpy(images)).detach().numpy()
    expected = np.concatenate([s for m in (fine, coarse) for s in (m.mean((2, 3)), m.std((2, 3)))], axis=1)
    assert found.shape == (2, network.width) == (2, 20)
    assert_allclose(found, expected, atol=2e-3)
    only = PooledGraph(data, ["coarse"])(torch.from_numpy(images)).detach().numpy()
    assert_allclose(only, expected[:, 8:], atol=2e-3)


def test_every_weight_can_be_trained():
    network = PooledGraph(residual())
    network(torch.randn(2, 3, 8, 8)).sum().backward()
    gradients = {name: p.grad for name, p in network.named_parameters()}
    assert len(gradients) == 5
    assert all(g is not None and bool(g.abs().sum() > 0) for g in gradients.values())


def test_an_operator_that_cannot_be_trained_is_refused():
    node = helper.make_node("Sigmoid", ["image"], ["fine"])
    with pytest.raises(ModelError, match="expected a network of Add, Conv, Relu to train, found Sigmoid"):
        PooledGraph(helper_model([node]))


def helper_model(nodes) -> bytes:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"])
    fine = helper.make_tensor_value_info("fine", TensorProto.FLOAT, ["n", 3, "h", "w"])
    return bytes(helper.make_model(helper.make_graph(nodes, "g", [image], [fine])).SerializeToString())


def test_unequal_padding_is_refused():
    with pytest.raises(ModelError, match="expected equal padding on both sides of 'a'"):
        PooledGraph(residual(pads=[0, 0, 1, 1]))
