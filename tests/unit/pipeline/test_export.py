import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from millscale.core.errors import ModelError
from millscale.pipeline.export import export
from millscale.runtime.bundle import make_bundle


@pytest.fixture
def image(grid, tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(grid.picture({(1, 1): (200, 0, 0)}))
    return path


def spoiled(graph: bytes, output: str) -> bytes:
    """The grid detector with one of its outputs not a number."""
    model = onnx.load_from_string(graph)
    node = next(node for node in model.graph.node if output in node.output)
    node.output[0] = "sound"
    model.graph.node.append(helper.make_node("Mul", ["sound", "nan"], [output]))
    model.graph.initializer.append(numpy_helper.from_array(np.array(np.nan, np.float32), "nan"))
    if output == "scores":  # the boxes are computed from sound scores
        boxes = next(node for node in model.graph.node if node.op_type == "MatMul")
        boxes.input[0] = "sound"
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("output", ["scores", "boxes"])
def test_a_network_of_nan_is_never_the_same(grid, image, tmp_path, output):
    network = spoiled(grid.graph, output)
    bundle = make_bundle(grid.card(), {**grid.members, "detector.onnx": network})
    with pytest.raises(ModelError, match=f"expected {output} within .*, found differences up to nan"):
        export(bundle, tmp_path / "out", "onnxruntime", [image])
    assert not (tmp_path / "out").exists()


def test_what_openvino_cannot_write_is_an_error_of_the_file(grid, image, tmp_path):
    pytest.importorskip("openvino")
    (tmp_path / "out" / "detector.xml").mkdir(parents=True)
    with pytest.raises(OSError, match=r"detector\.xml: OpenVINO cannot write it"):
        export(make_bundle(grid.card(), grid.members), tmp_path / "out", "openvino", [image])
