import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from millscale.core.errors import ModelError
from millscale.features.backbone import Backbone, BackboneSpec, open_backbones
from millscale.features.graph import VIEW_COUNTS, classifier_graph, feature_graph
from millscale.runtime.backends.onnxruntime import Network
from millscale.runtime.onnx_audit import check_onnx


def spoiled(tiny, change):
    model = onnx.load_model_from_string(tiny.data)
    change(model)
    return Backbone(BackboneSpec("tiny", "", tiny.outputs, "", None), model.SerializeToString())


def _two_inputs(model):
    model.graph.input.append(helper.make_tensor_value_info("mask", onnx.TensorProto.FLOAT, ["n", 1, "h", "w"]))


def _flat_input(model):
    del model.graph.input[0].type.tensor_type.shape.dim[0]


def _old(model):
    model.opset_import[0].version = 11


def _new(model):
    model.opset_import[0].version = 21


def _renamed_output(model):
    model.graph.output.remove(model.graph.output[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_two_inputs, r"expected one input \(n, 3, h, w\), found \['image', 'mask'\]"),
        (_flat_input, r"expected one input \(n, 3, h, w\), found \['image'\]"),
        (_old, "expected operator set 13 to 17, found 11"),
        (_new, "expected operator set 13 to 17, found 21"),
        (_renamed_output, r"expected the outputs \('fine', 'coarse'\), found \['fine'\]"),
    ],
)
def test_a_backbone_of_another_shape_is_refused(tiny, change, message):
    with pytest.raises(ModelError, match=rf"Backbone 'tiny': {message}\. Export it again to fit\."):
        feature_graph([spoiled(tiny, change)])


def test_an_output_that_is_no_map_is_refused(tiny):
    model = onnx.load_model_from_string(tiny.data)
    model.graph.output.append(helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["n", 10]))
    brought = Backbone(BackboneSpec("tiny", "", (), "", None), model.SerializeToString())
    with pytest.raises(ModelError, match="expected every output to be a feature map"):
        feature_graph([brought])


def test_the_graphs_pass_our_own_audit(tiny, tiny_path):
    backbones = open_backbones(str(tiny_path))
    check_onnx(feature_graph(backbones), "features")
    for views in VIEW_COUNTS:
        head = np.zeros((tiny.dimensions, 3)), np.zeros(3)
        check_onnx(classifier_graph(backbones, *head, views=views), "classifier")


def test_a_backbone_stands_once_in_a_graph_that_uses_it_twice(tiny, tiny_path):
    backbones = open_backbones(str(tiny_path))
    names = [w.name for w in onnx.load_model_from_string(feature_graph(backbones)).graph.initializer]
    assert len([name for name in names if name.endswith("fine.w")]) == 1


def test_the_same_arguments_give_the_same_bytes(tiny_path):
    first, second = (feature_graph(open_backbones(str(tiny_path))) for _ in range(2))
    assert first == second


def _features(*paths):
    graph = feature_graph(open_backbones("+".join(map(str, paths))))
    image = np.random.default_rng(0).integers(0, 256, (1, 20, 30, 3), dtype=np.uint8)
    return Network(graph, "features", threads=1).run({"images": image})[0][0]


def test_joined_backbones_keep_their_own_weights_even_under_one_file_name(tiny, tiny_path, tmp_path):
    model = onnx.load_model_from_string(tiny.data)
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(tensor), tensor.name))
    (tmp_path / "tiny.onnx").write_bytes(model.SerializeToString())
    joined = _features(tiny_path, tmp_path / "tiny.onnx")
    np.testing.assert_array_equal(joined, np.hstack([_features(tiny_path), _features(tmp_path / "tiny.onnx")]))


def test_weights_may_also_be_listed_as_inputs(tiny, tiny_path, tmp_path):
    # ONNX files before IR version 4 list every weight among the inputs, in any order.
    model = onnx.load_model_from_string(tiny.data)
    image = model.graph.input.pop()
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    model.graph.input.append(image)
    (tmp_path / "old.onnx").write_bytes(model.SerializeToString())
    np.testing.assert_array_equal(_features(tmp_path / "old.onnx"), _features(tiny_path))
