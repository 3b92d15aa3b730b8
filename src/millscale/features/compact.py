"""A network at half its size: weights stored as float16, everything computed in float32."""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

_LEAST_BYTES = 1024
"""Smaller weights stay: what they would save, the cast that brings them back costs."""
_HALF = ".half"


def compact(graph: bytes) -> bytes:
    """The same network with its large float32 weights as float16, each cast back to float32 in the graph.

    A runtime computes the casts once, when it loads the file, so that inspection takes as long as before. Weights
    lose what float16 cannot hold, up to 1 part in 2048; those that were rounded to it before lose nothing. A tensor
    with a value that float16 has not (beyond 65504) stays. What is compact already is returned as it is.

    Args:
        graph: an ONNX file, of operator set 13 or later.
    """
    model = onnx.load_model_from_string(graph)
    given = {entry.name for entry in model.graph.input}
    casts: list[NodeProto] = []
    for position, tensor in enumerate(model.graph.initializer):
        if tensor.name in given or tensor.data_type != TensorProto.FLOAT:
            continue
        half = _half(numpy_helper.to_array(tensor))
        if half is not None:
            casts.append(helper.make_node("Cast", [tensor.name + _HALF], [tensor.name], to=TensorProto.FLOAT))
            model.graph.initializer[position].CopyFrom(numpy_helper.from_array(half, tensor.name + _HALF))
    if not casts:
        return graph
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _half(array: NDArray[np.float32]) -> NDArray[np.float16] | None:
    """As float16, or None where that saves too little or a value does not fit."""
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    return half if array.nbytes > _LEAST_BYTES and np.isfinite(half).all() else None
