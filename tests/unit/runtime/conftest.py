"""A bundle whose answers are known by hand: the softmax of an image's mean red, green and blue."""

from io import BytesIO
from types import SimpleNamespace

import numpy as np
import onnx
import PIL.Image
import pytest
from onnx import helper, numpy_helper

from millscale.imaging.preprocess import Preprocess
from millscale.runtime.bundle import make_bundle

RED = [0.57611688, 0.21194156, 0.21194156]  # e, 1, 1 over e + 2


def colour_nodes():
    return [
        helper.make_node("Cast", ["images"], ["floats"], to=onnx.TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats"], ["means"], axes=[1, 2], keepdims=0),
        helper.make_node("Mul", ["means", "scale"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probs"], axis=1),
    ]


def colour_model(nodes=None, scale=1 / 255, output="probs", **fields):
    """The ONNX model as a protobuf, for tests to spoil."""
    graph = helper.make_graph(
        nodes or colour_nodes(),
        "colour",
        [helper.make_tensor_value_info("images", onnx.TensorProto.UINT8, ["n", "h", "w", 3])],
        [helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(np.array(scale, np.float32), "scale")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, **fields)


def picture(red=255, green=0, blue=0) -> bytes:
    buffer = BytesIO()
    PIL.Image.new("RGB", (40, 40), (red, green, blue)).save(buffer, format="PNG")
    return buffer.getvalue()


def colour_card(**changes):
    return {
        "name": "colours",
        "millscale_version": "0",
        "parts": [{"task": "classify", "file": "classifier.onnx"}],
        "classes": ["red", "green", "blue"],
        "good_classes": ["green"],
        "preprocess": Preprocess().to_json(),
        "calibration": {"method": "temperature", "temperature": 1.0, "fitted_on": "nothing"},
        "golden": {"file": "golden.png", "probs": RED},
        "protocol": "by hand",
        "metrics": {},
        "dataset": {},
        "provenance": {},
        "licence_notes": "none",
        **changes,
    }


@pytest.fixture
def colours():
    """``card(**changes)``, ``model(...)``, ``nodes()``, ``picture(r, g, b)`` and ``bundle(card, model)``."""

    def bundle(card=None, model=None, **more):
        network = (model or colour_model()).SerializeToString()
        return make_bundle(card or colour_card(), {"classifier.onnx": network, "golden.png": picture(), **more})

    return SimpleNamespace(
        card=colour_card, model=colour_model, nodes=colour_nodes, picture=picture, bundle=bundle, red=RED
    )
