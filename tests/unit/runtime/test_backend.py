import onnx
import onnxruntime as ort
import pytest
from onnx import helper

from millscale.core.errors import ModelError
from millscale.runtime.backends.onnxruntime import Network


def test_a_file_in_the_formats_of_the_runtime_itself_is_not_guessed(tmp_path):
    """The audit reads ONNX; what ONNX Runtime would read as something else must not run."""
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "relu.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    assert Network(model, "relu", threads=1).outputs == ["y"]
    with pytest.raises(ModelError, match="cannot load this network"):
        Network((tmp_path / "relu.ort").read_bytes(), "relu", threads=1)
