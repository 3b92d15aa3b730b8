"""An anomaly scorer whose map is known by hand: the brightness of each block of 8 × 8 pixels, 0 to 10."""

import math
import tracemalloc
import zipfile
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import PIL.Image
import pytest
from onnx import helper, numpy_helper

from millscale.core.errors import DataError, ModelError, UsageError
from millscale.imaging.preprocess import Preprocess
from millscale.runtime.anomaly import NORMAL, Scorer, raw_score, read_normal, rethreshold, squashed
from millscale.runtime.arrays import npy
from millscale.runtime.bundle import make_bundle, open_bundle
from millscale.runtime.inspector import Inspector
from millscale.runtime.network import open_network

THRESHOLD = 4.0
NORMALS = np.column_stack([np.linspace(0.1, 4.0, 40), np.arange(40)])


def network(scale: float = 10 / 255, output: str = "map") -> bytes:
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["means"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("ReduceMean", ["means"], ["grey"], axes=[1], keepdims=0),
        helper.make_node("Mul", ["grey", "scale"], [output]),
    ]
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("images", onnx.TensorProto.UINT8, ["n", "h", "w", 3])],
        [helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, ["n", "h8", "w8"])],
        [numpy_helper.from_array(np.array(scale, np.float32), "scale")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def scorer(policy: str = "area", **changes) -> Scorer:
    size = None if policy == "native" else (64, 64)
    return Scorer(open_network(network(**changes), "by hand"), Preprocess(policy, size))  # type: ignore[arg-type]


def card(**changes):
    alarms = {
        "threshold": THRESHOLD,
        "rate_asked": 0.1,
        "expected_rate": 0.1,
        "upper_bound": 0.2,
        "groups": 40,
        "images": 40,
        "extrapolated": False,
    }
    part = {"task": "anomaly", "file": "anomaly.onnx", "preprocess": Preprocess("area", (64, 64)).to_json()}
    part["alarms"] = {**alarms, **changes.pop("alarms", {})}
    part |= changes.pop("part", {})
    return {
        "name": "by hand",
        "millscale_version": "0",
        "parts": [part],
        "classes": ["good", "anomaly"],
        "good_classes": ["good"],
        "golden": {"file": "golden.png", "raw": 10.0},
        "protocol": "by hand",
        "metrics": {},
        "dataset": {},
        "provenance": {},
        "licence_notes": "none",
        **changes,
    }


def members(**changes) -> dict[str, bytes]:
    buffer = BytesIO()
    PIL.Image.new("RGB", (64, 64), (255, 255, 255)).save(buffer, format="PNG")
    return {"anomaly.onnx": network(), "golden.png": buffer.getvalue(), NORMAL: npy(NORMALS), **changes}


@pytest.fixture
def lit() -> np.ndarray:
    """64 × 128 pixels of grey 40, with blocks of 16 × 16 white at (8, 16) and of 8 × 24 light at (48, 88)."""
    image = np.full((64, 128), 40, np.uint8)
    image[8:24, 16:32] = 255
    image[48:56, 88:112] = 220
    return image


def test_the_score_is_the_mean_of_the_worst_patches(lit):
    found = scorer("native").score(lit)
    assert found.patches.shape == (8, 16)
    assert (found.size, found.working) == ((64, 128), (64, 128))
    assert found.raw == pytest.approx(10.0)  # the two worst of 128
    assert raw_score(np.arange(1000, dtype=np.float32).reshape(10, 100)) == np.arange(990, 1000).mean()
    assert raw_score(np.array([[1.0, 3.0]], np.float32)) == 3.0


def test_regions_are_boxes_around_what_reaches_the_threshold(lit):
    boxes = scorer("native").score(lit).regions(THRESHOLD, 1)
    assert boxes.class_id.tolist() == [1, 1]
    # A patch's value stands at its middle, and half way to the next patch the map has fallen by half.
    np.testing.assert_allclose(boxes.xyxy, [[16, 8, 32, 24], [88, 48, 112, 56]], atol=4)
    assert boxes.score == pytest.approx([squashed(10.0, THRESHOLD), squashed(2200 / 255, THRESHOLD)], abs=0.02)
    assert len(scorer("native").score(lit).regions(11.0, 1)) == 0


def test_regions_and_map_lie_where_the_original_has_them(lit):
    large = lit.repeat(4, 0).repeat(3, 1)
    found = scorer().score(large)
    assert found.map().shape == large.shape
    row, column = np.unravel_index(found.map().argmax(), large.shape)
    assert (32 <= row < 96, 48 <= column < 96) == (True, True)
    first = found.regions(THRESHOLD, 1).xyxy[0]
    np.testing.assert_allclose(first, [48, 32, 96, 96], atol=20)


@pytest.mark.parametrize("shape", [(8, 8), (1, 1), (20, 2000), (2000, 20), (1, 50_000)])
def test_images_of_every_shape_are_scored(shape):
    found = scorer().score(np.full(shape, 51, np.uint8))
    assert found.raw == pytest.approx(2.0)
    assert found.map().shape == shape
    np.testing.assert_allclose(found.map(), 2.0, rtol=1e-5)
    assert math.prod(found.working) <= 2 * 64 * 64
    boxes = found.regions(1.0, 1)
    np.testing.assert_allclose(boxes.xyxy, [[0, 0, shape[1], shape[0]]], rtol=1e-5)
    assert boxes.area == pytest.approx([math.prod(shape)], rel=1e-5)


def test_in_windows_the_map_is_that_of_the_whole_picture_and_the_worst_window_counts(lit):
    whole = scorer("native").score(lit)
    tiled = Scorer(open_network(network(), "by hand"), Preprocess("area", (32, 32)), tile=32)
    found = tiled.score(lit)
    np.testing.assert_allclose(found.patches, whole.patches, rtol=1e-5)
    assert found.raw == pytest.approx(10.0)
    assert (found.size, found.working) == (whole.size, whole.working)
    first, second = (each.regions(THRESHOLD, 1) for each in (found, whole))
    np.testing.assert_allclose(first.xyxy, second.xyxy, atol=0.01)
    speck = np.full((256, 256), 40, np.uint8)
    speck[80:88, 80:88] = 255  # of 1024 patches it is one, of a window one of 16
    assert tiled.score(speck).raw > 9 > 2 * scorer("native").score(speck).raw


def test_a_large_picture_is_cut_into_windows_within_bounded_memory():
    tiled = Scorer(open_network(network(), "by hand"), Preprocess("area", (64, 64)), tile=512)
    large = np.full((9000, 12_000), 40, np.uint8)
    large[4000:4400, 7000:7800] = 255
    tracemalloc.start()
    found = tiled.score(large)
    boxes = found.regions(THRESHOLD, 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6  # the picture itself has 108 MB
    np.testing.assert_allclose(boxes.xyxy, [[7000, 4000, 7800, 4400]], atol=80)
    assert boxes.area == pytest.approx([400 * 800], rel=0.2)


def test_a_score_is_one_half_at_the_threshold_and_never_one():
    assert squashed(4.0, 4.0) == 0.5
    assert squashed(0.0, 4.0) == 0.0
    assert squashed(1e30, 1e-9) < 1.0
    scores = [squashed(raw, 4.0) for raw in (0.1, 3.9, 4.1, 100.0)]
    assert scores == sorted(scores)


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), -1.0])
def test_a_map_that_is_no_score_is_refused(scale):
    with pytest.raises(ModelError, match="expected a finite map of 0 or more"):
        scorer(scale=scale).score(np.full((64, 64), 100, np.uint8))


def test_a_network_without_a_map_is_refused():
    with pytest.raises(ModelError, match="expected input images and output map"):
        scorer(output="heat")


def test_another_rate_has_another_threshold():
    low, high = (rethreshold(NORMALS, rate).threshold for rate in (0.5, 0.1))
    assert 1.5 < low < 2.5
    assert 3.4 < high <= 4.0
    with pytest.raises(UsageError):
        rethreshold(NORMALS, 1.0)
    with pytest.raises(DataError, match="2 groups"):
        rethreshold(NORMALS[:1], 0.1)


BAD_ARRAYS = {
    "absent": None,
    "text": b"rubbish",
    "empty": b"",
    "a zip": b"PK\x03\x04rubbish",
    "a header without an end": b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f8', ",
    "a header of brackets": b"\x93NUMPY\x01\x00\x00\x10" + b"(" * 4096,
    "cut off": npy(NORMALS)[:-9],
    "larger than memory": npy(NORMALS).replace(b"(40, 2)", b"(10**19, 2)"),
    "of far more rows": npy(NORMALS).replace(b"'shape': (40, 2), }     ", b"'shape': (4000000, 2), }"),
    "one column": npy(NORMALS[:, :1]),
    "three columns": npy(NORMALS[:, [0, 1, 1]]),
    "flat": npy(NORMALS.ravel()),
    "whole numbers": npy(NORMALS.astype(np.int64)),
    "NaN": npy(np.where(NORMALS == 4.0, np.nan, NORMALS)),
    "infinite": npy(np.where(NORMALS == 4.0, np.inf, NORMALS)),
    "negative": npy(-NORMALS),
    "objects": npy(NORMALS).replace(b"'<f8'", b"'|O' "),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_held_out_images_that_are_none_are_refused(name):
    data = BAD_ARRAYS[name]
    held = {} if data is None else {NORMAL: data}
    with pytest.raises(ModelError, match=NORMAL):
        read_normal(held)
    given = {key: value for key, value in members(**held).items() if data is not None or key != NORMAL}
    with pytest.raises(ModelError, match=NORMAL):
        make_bundle(card(), given)


def test_an_opened_bundle_answers_as_its_card_says(tmp_path: Path, lit):
    path = make_bundle(card(), members()).save(tmp_path / "a.millscale")
    inspector, half = Inspector.open(path), lit[:, :64]
    prediction = inspector.inspect(half)
    assert prediction.score == pytest.approx(10 / 14)
    assert prediction.anomaly_map is not None
    assert prediction.anomaly_map.max() == pytest.approx(10 / 14, abs=1e-3)
    assert inspector.decide(prediction).outcome == "reject"
    dark = inspector.inspect(np.where(half > 40, 44, half).astype(np.uint8))
    assert (dark.score < 0.5, len(dark.boxes or ())) == (True, 0)
    other = Inspector.open(path, false_alarm_rate=0.5)
    assert other.alarms is not None
    assert other.alarms.threshold == rethreshold(NORMALS, 0.5).threshold


def test_files_are_inspected_without_their_maps_unless_asked(tmp_path: Path, lit):
    PIL.Image.fromarray(lit).save(tmp_path / "lit.png")
    inspector = Inspector(make_bundle(card(), members()))
    for maps in (False, True):
        (found,) = inspector.inspect_files([tmp_path / "lit.png"], maps=maps)
        assert found.prediction is not None
        assert found.verdict is not None
        assert (found.prediction.anomaly_map is not None) == maps
        assert found.verdict == inspector.decide(inspector.inspect(lit))


def test_a_golden_image_is_compared_on_the_scale_of_scores(tmp_path: Path):
    """It is no metal: its raw score is high, and rounding moves it by more than one near the threshold."""
    golden = SimpleNamespace(near={"file": "golden.png", "raw": 10.004}, far={"file": "golden.png", "raw": 10.5})
    near = make_bundle(card(golden=golden.near), members()).save(tmp_path / "near.millscale")
    Inspector.open(near)
    far = make_bundle(card(golden=golden.far), members()).save(tmp_path / "far.millscale")
    with pytest.raises(ModelError, match="golden image"):
        Inspector.open(far)


def test_scores_that_give_no_threshold_are_refused_with_what_to_do():
    huge = make_bundle(card(), members(**{NORMAL: npy(NORMALS * [1e300, 1])}))
    with pytest.raises(ModelError, match="no threshold at a rate of 0.2"):
        Inspector(huge, false_alarm_rate=0.2)


@pytest.mark.parametrize(
    "changes",
    [
        {"alarms": {"threshold": -1.0}},
        {"alarms": {"threshold": 0.0}},
        {"alarms": {"threshold": 1e-300}},
        {"alarms": {"threshold": float("nan")}},
        {"alarms": {"threshold": float("inf")}},
        {"alarms": {"rate_asked": 1.0}},
        {"alarms": {"expected_rate": 2.0}},
        {"alarms": {"groups": -1}},
        {"alarms": {"of_our_own": 1}},
        {"classes": ["good"], "good_classes": ["good"]},
        {"classes": ["anomaly", "good"]},
        {"good_classes": []},
        {"good_classes": ["good", "anomaly"]},
        {"golden": {"file": "golden.png"}},
        {"golden": {"file": "golden.png", "raw": -1.0}},
        {"golden": {"file": "golden.png", "raw": float("nan")}},
        {"golden": {"file": "golden.png", "raw": 1.0, "probs": [0.5, 0.5]}},
        {"preprocess": Preprocess().to_json()},
        {"part": {"tile": 63}},
        {"part": {"tile": 1 << 20}},
        {"part": {"tile": 100.5}},
        {"part": {"tile": 64, "preprocess": Preprocess("area", (257, 257)).to_json()}},
        {"part": {"tile": 64, "preprocess": Preprocess().to_json()}},
        {"part": {"tile": 64, "task": "classify", "preprocess": None, "alarms": None}},
    ],
)
def test_a_card_of_a_scorer_that_makes_no_sense_is_refused(changes):
    with pytest.raises(ModelError, match="the card does not fit its schema"):
        make_bundle(card(**changes), members())


def test_a_damaged_file_is_refused(tmp_path: Path):
    path = make_bundle(card(), members()).save(tmp_path / "a.millscale")
    with zipfile.ZipFile(path) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in held.items():
            archive.writestr(name, data if name != NORMAL else npy(NORMALS + 1))
    with pytest.raises(ModelError, match="damaged"):
        open_bundle(path)
