"""Look into an ONNX file before it is run: which operators it uses, and whether it reaches outside itself.

The serve floor has no ``onnx`` package, so this reads the protobuf wire format itself, and only the few
fields it needs. Field numbers are those of ``onnx.proto3`` (IR version 3 and later).
"""

from collections.abc import Iterator

from millscale.core.errors import ModelError

ALLOWED_OPERATORS = frozenset({
    "Abs", "Add", "And", "ArgMax", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Constant",
    "ConstantOfShape", "Conv", "DequantizeLinear", "Div", "Equal", "Exp", "Expand", "Flatten", "Floor", "Gather",
    "GatherElements", "GatherND", "Gemm", "GlobalAveragePool", "Greater", "GreaterOrEqual", "HardSigmoid",
    "HardSwish", "Identity", "LeakyRelu", "Less", "LessOrEqual", "Log", "MatMul", "Max", "MaxPool", "Mean", "Min",
    "Mul", "Neg", "NonMaxSuppression", "NonZero", "Not", "Or", "Pad", "Pow", "QuantizeLinear", "Range",
    "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "Relu", "Reshape", "Resize", "RoiAlign",
    "ScatterElements", "ScatterND", "Shape", "Sigmoid", "Sign", "Slice", "Softmax", "Split", "Sqrt", "Squeeze",
    "Sub", "Tanh", "TopK", "Transpose", "Unsqueeze", "Where",
})  # fmt: skip
"""Each computes from its inputs alone: none reads a file, draws at random, loops or branches."""
ALLOWED_DOMAINS = frozenset({"", "ai.onnx"})

_MODEL_GRAPH, _MODEL_FUNCTIONS = 7, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE = 1, 5, 15
_NODE_OP_TYPE, _NODE_ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS = 5, 10, 6, 11
_ATTRIBUTE_SPARSE = (22, 23)
_TENSOR_EXTERNAL, _TENSOR_LOCATION = 13, 14


def check_onnx(data: bytes, name: str) -> None:
    """Refuse a network that uses an operator we do not know, custom code, or files beside itself.

    Raises:
        ModelError: names the operator or the field that is not allowed.
    """
    try:
        model = list(_fields(memoryview(data)))
        graphs = [bytes(value) for number, value in model if number == _MODEL_GRAPH]
        if any(number == _MODEL_FUNCTIONS for number, _ in model):
            raise _refused(name, "it defines functions of its own")
        if len(graphs) != 1:
            raise _refused(name, "it does not hold exactly one graph")
        _check_graph(memoryview(graphs[0]), name, depth=0)
    except (IndexError, UnicodeDecodeError, OverflowError) as error:
        raise _refused(name, "it is not a readable ONNX file") from error


def _refused(name: str, why: str) -> ModelError:
    return ModelError(
        f"{name}: this network is refused: {why}. Expected a plain ONNX network of standard operators; "
        "export it again with `millscale train` or `millscale export`."
    )


def _check_graph(graph: memoryview, name: str, depth: int) -> None:
    if depth > 4:
        raise _refused(name, "its graphs are nested too deeply")
    for number, value in _fields(graph):
        if number == _GRAPH_NODE:
            _check_node(memoryview(bytes(value)), name, depth)
        elif number == _GRAPH_INITIALIZER:
            _check_tensor(memoryview(bytes(value)), name)
        elif number == _GRAPH_SPARSE:
            raise _refused(name, "it holds sparse weights")


def _check_node(node: memoryview, name: str, depth: int) -> None:
    operator = domain = ""
    for number, value in _fields(node):
        if number == _NODE_OP_TYPE:
            operator = bytes(value).decode()
        elif number == _NODE_DOMAIN:
            domain = bytes(value).decode()
        elif number == _NODE_ATTRIBUTE:
            _check_attribute(memoryview(bytes(value)), name, depth)
    if domain not in ALLOWED_DOMAINS or operator not in ALLOWED_OPERATORS:
        raise _refused(name, f"operator '{domain + '::' if domain else ''}{operator}' is not on the allow-list")


def _check_attribute(attribute: memoryview, name: str, depth: int) -> None:
    for number, value in _fields(attribute):
        if number in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
            _check_graph(memoryview(bytes(value)), name, depth + 1)
        elif number in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS):
            _check_tensor(memoryview(bytes(value)), name)
        elif number in _ATTRIBUTE_SPARSE:
            raise _refused(name, "it holds sparse weights")


def _check_tensor(tensor: memoryview, name: str) -> None:
    for number, value in _fields(tensor):
        if number == _TENSOR_EXTERNAL or (number == _TENSOR_LOCATION and value != b"\x00"):
            raise _refused(name, "it keeps weights in another file")


def _fields(data: memoryview) -> Iterator[tuple[int, bytes | memoryview]]:
    """(field number, value) of one protobuf message; varints come as their single low byte."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, wire = tag >> 3, tag & 7
        # Protobuf keeps 32 bits of a tag: a longer one is another field to ONNX Runtime than to us.
        if not number or tag >> 32:
            raise IndexError(f"field {number}")
        if wire == 0:
            value, position = _varint(data, position)
            yield number, bytes([min(value, 255)])
        elif wire in (1, 5):
            position += 8 if wire == 1 else 4
        elif wire == 2:
            length, position = _varint(data, position)
            if position + length > len(data):
                raise IndexError("truncated message")
            yield number, data[position : position + length]
            position += length
        else:
            raise IndexError(f"wire type {wire}")


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise OverflowError("varint too long")
