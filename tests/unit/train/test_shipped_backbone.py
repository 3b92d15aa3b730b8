"""The backbone inside the package is the file that its card describes."""

import hashlib
import json
from importlib.resources import files

import numpy as np
import onnx
import onnxruntime as ort
import pytest

WEIGHTS = files("millscale.features") / "weights"


@pytest.fixture(scope="module")
def card():
    return json.loads((WEIGHTS / "millscale_s.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def data():
    return (WEIGHTS / "millscale_s.onnx").read_bytes()


def test_the_card_names_this_file(card, data):
    assert (card["sha256"], card["bytes"]) == (hashlib.sha256(data).hexdigest(), len(data))


def test_the_file_is_small_and_plain(card, data):
    model = onnx.load_from_string(data)
    assert len(data) <= 4_000_000
    assert {node.op_type for node in model.graph.node} == {"Conv", "Relu", "Add"}
    weights = sum(int(np.prod(weight.dims)) for weight in model.graph.initializer)
    assert weights == card["architecture"]["parameters"]


@pytest.mark.parametrize(("height", "width"), [(200, 200), (65, 130)])
def test_maps_have_the_promised_channels_and_strides(card, data, height, width):
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    maps = session.run(None, {"image": np.zeros((2, 3, height, width), np.float32)})
    found = {
        output.name: (f"{m.shape[1]} channels", m.shape[2:])
        for output, m in zip(session.get_outputs(), maps, strict=True)
    }
    wanted = {
        f"stride{stride}": (card["outputs"][f"stride{stride}"], (-(-height // stride), -(-width // stride)))
        for stride in (4, 8, 16)
    }
    assert found == wanted


def test_every_map_says_something(data):
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    noise = np.random.default_rng(0).normal(size=(4, 1, 64, 64)).astype(np.float32)
    for m in session.run(None, {"image": np.repeat(noise, 3, axis=1)}):
        assert np.isfinite(m).all()
        assert (m.std((0, 2, 3)) > 0).mean() > 0.9


def test_the_card_says_what_it_never_saw(card):
    for name in ("NEU-CLS", "NEU-DET", "SD-saliency-900", "Magnetic-tile"):
        assert name in card["did_not_see"]
    assert card["teachers"]
    assert all(teacher["licence"] for teacher in card["teachers"])
