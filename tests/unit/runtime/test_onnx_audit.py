import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from millscale.core.errors import ModelError
from millscale.runtime.onnx_audit import check_onnx


def _external(tensor):
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"


def _graph(*nodes):
    return helper.make_graph(list(nodes), "inner", [], [])


def _custom_domain(model):
    model.graph.node[0].domain = "com.microsoft"


def _unknown_operator(model):
    model.graph.node[0].op_type = "Loop"


def _external_initializer(model):
    _external(model.graph.initializer[0])


def _external_location_alone(model):
    model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL


def _external_constant(model):
    tensor = numpy_helper.from_array(np.zeros(1, np.float32))
    _external(tensor)
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=tensor))


def _sparse_external(model):
    values = numpy_helper.from_array(np.zeros(1, np.float32))
    _external(values)
    indices = numpy_helper.from_array(np.zeros(1, np.int64))
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))


def _nested(model):
    inner = _graph(helper.make_node("RandomNormal", [], ["r"], shape=[1]))
    model.graph.node[0].attribute.append(helper.make_attribute("then_branch", inner))


def _nested_in_list(model):
    inner = _graph(helper.make_node("Custom", [], ["r"], domain="evil"))
    model.graph.node[0].attribute.append(helper.make_attribute("graphs", [inner]))


def _deep(model):
    graph = _graph(helper.make_node("Relu", ["x"], ["y"]))
    for _ in range(8):
        node = helper.make_node("Relu", ["x"], ["y"])
        node.attribute.append(helper.make_attribute("body", graph))
        graph = _graph(node)
    model.graph.CopyFrom(graph)


def _function(model):
    body = [helper.make_node("Relu", ["x"], ["y"])]
    opset = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("evil", "Act", ["x"], ["y"], body, opset))


def _no_graph(model):
    model.ClearField("graph")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_custom_domain, "operator 'com.microsoft::Cast' is not on the allow-list"),
        (_unknown_operator, "operator 'Loop' is not on the allow-list"),
        (_external_initializer, "it keeps weights in another file"),
        (_external_location_alone, "it keeps weights in another file"),
        (_external_constant, "it keeps weights in another file"),
        (_sparse_external, "sparse"),
        (_nested, "operator 'RandomNormal' is not on the allow-list"),
        (_nested_in_list, "operator 'evil::Custom' is not on the allow-list"),
        (_deep, "its graphs are nested too deeply"),
        (_function, "it defines functions of its own"),
        (_no_graph, "it does not hold exactly one graph"),
    ],
)
def test_what_a_network_may_not_hold(colours, spoil, why):
    model = colours.model()
    spoil(model)
    with pytest.raises(ModelError) as caught:
        check_onnx(model.SerializeToString(), "a.onnx")
    assert str(caught.value).startswith("a.onnx: this network is refused: ")
    assert why in str(caught.value)


def test_a_plain_network_is_accepted(colours):
    assert check_onnx(colours.model().SerializeToString(), "a.onnx") is None


def test_the_tensor_that_names_no_place_is_inside(colours):
    model = colours.model()
    model.graph.initializer[0].data_location = onnx.TensorProto.DEFAULT
    assert check_onnx(model.SerializeToString(), "a.onnx") is None


@pytest.mark.parametrize("data", [b"", b"\xff" * 40, b"not onnx at all", b"\x3a\xff\xff\xff\xff\x0f"])
def test_what_is_no_network_is_refused(data):
    with pytest.raises(ModelError, match="this network is refused"):
        check_onnx(data, "a.onnx")


def test_a_truncated_network_is_refused(colours):
    data = colours.model().SerializeToString()
    with pytest.raises(ModelError, match="it is not a readable ONNX file"):
        check_onnx(data[: len(data) // 2], "a.onnx")


def test_a_graph_given_twice_is_refused(colours):
    # Protobuf merges repeated fields: the second graph's nodes would join the first's.
    data = colours.model().SerializeToString()
    with pytest.raises(ModelError, match="exactly one graph"):
        check_onnx(data + data, "a.onnx")


def _message(field, content):
    """A protobuf field of bytes; ``field`` may be larger than protobuf's 29 bits."""
    tag, size = (field << 3) | 2, len(content)
    return b"".join(map(_varint, (tag, size))) + content


def _varint(value):
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def test_a_node_behind_a_field_number_that_overflows_is_not_overlooked(colours):
    # ONNX Runtime keeps 32 bits of the tag, and would run what looks like an unknown field here.
    model = colours.model()
    hidden = helper.make_node("Erf", ["means"], ["unseen"]).SerializeToString()
    graph = model.graph.SerializeToString() + _message((1 << 29) | 1, hidden)
    model.ClearField("graph")
    with pytest.raises(ModelError, match="this network is refused"):
        check_onnx(model.SerializeToString() + _message(7, graph), "a.onnx")
