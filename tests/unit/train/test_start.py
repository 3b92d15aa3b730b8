"""Going on from a detector that a bundle holds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import onnx  # noqa: E402
from onnx import numpy_helper  # noqa: E402
from torch import nn  # noqa: E402

from millscale.core import plugins  # noqa: E402
from millscale.core.errors import DataError, UsageError  # noqa: E402
from millscale.imaging.decode import decode_image  # noqa: E402
from millscale.imaging.preprocess import Preprocess  # noqa: E402
from millscale.learn.recipe import Task  # noqa: E402
from millscale.pipeline.bundling import golden_picture  # noqa: E402
from millscale.runtime.arrays import npy  # noqa: E402
from millscale.runtime.bundle import SEEN, Bundle, content_keys, make_bundle  # noqa: E402
from millscale.runtime.card import Detection, Part  # noqa: E402
from millscale.runtime.locate import golden_scores  # noqa: E402
from millscale.train.detection import PACKAGE, Detector, build_detector, detector_spec  # noqa: E402
from millscale.train.export import export_detector  # noqa: E402
from millscale.train.start import open_start, start_from  # noqa: E402

CLASSES, SIZE = ("bar", "square"), (64, 64)


def detector(name: str, seed: int, classes: int = 2) -> Detector:
    """At random, its batch norms as if it had been trained."""
    model = build_detector(detector_spec(name), classes, seed, pretrained=False)
    generator = torch.Generator().manual_seed(seed)
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        for value, least in ((norm.weight, 0.5), (norm.bias, -0.5), (norm.running_mean, -0.5), (norm.running_var, 0.5)):
            value.data = least + torch.rand(value.shape, generator=generator)
    return model.eval()


def bundled(model: Detector, seen=()) -> Bundle:
    """As if a nano had been trained; what it says of itself but its network does not matter."""
    preprocess = Preprocess("resize", SIZE)
    graph, golden = export_detector(model, preprocess, SIZE), golden_picture()
    detection = Detection(thresholds=dict.fromkeys(CLASSES, 0.5))
    part = Part(task="detect", file="detector.onnx", preprocess=preprocess.to_json(), detection=detection)
    card = {
        "name": "before",
        "millscale_version": "0",
        "parts": [part.model_dump()],
        "classes": CLASSES,
        "golden": {
            "file": "golden.png",
            "scores": {part.file: golden_scores(graph, part, decode_image(golden), len(CLASSES))},
        },
        "protocol": "none",
        "metrics": {},
        "dataset": {},
        "provenance": {"network": {"name": "yolo_n"}},
        "licence_notes": "",
    }
    keys = content_keys(record.content_hash for record in seen)
    return make_bundle(card, {part.file: graph, "golden.png": golden, SEEN: npy(keys)})


@pytest.fixture(scope="module")
def nano() -> Bundle:
    return bundled(detector("yolo_n", 1))


@pytest.mark.parametrize("name", [name for name in plugins.names(PACKAGE) if name != "yolo_w"])
def test_every_detector_goes_on_as_what_its_bundle_holds(name):
    before, after = detector(name, 1), detector(name, 2)
    start_from(bundled(before), after, name, CLASSES, 0)
    assert_alike(before, after)


@pytest.mark.parametrize(("name", "live"), [("yolo_n", True), ("yolo_s", True), ("ssd", False), ("faster_rcnn", False)])
def test_batch_norms_live_only_where_they_are_unfolded(name, live):
    after = detector(name, 2)
    start_from(bundled(detector(name, 1)), after, name, CLASSES, 0)
    assert any(isinstance(module, nn.BatchNorm2d) for module in after.modules()) == live


def assert_alike(before: Detector, after: Detector) -> None:
    images = torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        for one, other in zip(before.raw(images), after.raw(images), strict=True):
            torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-3)


def test_a_wider_one_begins_as_the_narrower_one_ended(nano):
    wide = detector("yolo_w", 2)
    start_from(nano, wide, "yolo_w", CLASSES, 0)
    assert_alike(detector("yolo_n", 1), wide)
    copies = wide.head.stems[0].conv.weight[:, ::2], wide.head.stems[0].conv.weight[:, 1::2]
    assert not torch.allclose(*copies, rtol=0.1)  # or they would learn the same


def test_for_other_classes_all_but_the_last_layers_are_taken(nano):
    before, after = detector("yolo_n", 1), detector("yolo_n", 2, classes=3)
    untrained = after.head.cls_preds[0].weight.clone()
    start_from(nano, after, "yolo_n", (*CLASSES, "dent"), 0)
    torch.testing.assert_close(after.head.reg_preds[0].weight, before.head.reg_preds[0].weight)
    assert torch.equal(after.head.cls_preds[0].weight, untrained)
    images = torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(after.raw(images)[0], before.raw(images)[0], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("classes", [("bar", "dent"), ("square", "bar")])
def test_classes_of_other_names_or_order_are_learned_anew(nano, classes):
    after = detector("yolo_n", 2)
    untrained = after.head.cls_preds[0].weight.clone()
    start_from(nano, after, "yolo_n", classes, 0)
    assert torch.equal(after.head.cls_preds[0].weight, untrained)


@pytest.mark.parametrize("name", ["yolo_s", "ssd"])
def test_another_kind_of_detector_is_refused(nano, name):
    with pytest.raises(
        UsageError, match=rf"that {name} can go on from, found one of yolo_n, 'before'. Give --detector its kind"
    ):
        start_from(nano, detector(name, 2), name, CLASSES, 0)


def test_a_wider_one_cannot_go_on_in_a_narrower_one(nano):
    wide = bundled(detector("yolo_w", 1))
    with pytest.raises(UsageError, match="expected a bundle that yolo_n can go on from"):
        start_from(wide, detector("yolo_n", 2), "yolo_n", CLASSES, 0)


@pytest.fixture
def saved(shapes, tmp_path) -> str:
    """A bundle that has learned from the first four images."""
    return str(bundled(detector("yolo_n", 1), shapes.records[:4]).save(tmp_path / "before.millscale"))


@pytest.fixture
def task(shapes, tmp_path) -> Task:
    return Task(shapes, np.repeat([0, 1, 2], [2, 6, 4]), 0, tmp_path / "run" / "checkpoints", lambda *_: None)


def test_what_it_learned_from_may_be_learned_from_again(saved, task):
    assert len(open_start(saved, task, [2]).seen) == 4


@pytest.mark.parametrize("held_out", [[1], [2, 0]])
def test_what_it_learned_from_may_not_be_held_out(saved, task, held_out):
    with pytest.raises(DataError, match=r"found 2 of them .* such as 0.\.png: it would be judged on what it knows"):
        open_start(saved, task, held_out)


def test_the_packaged_nano_needs_no_file(task, monkeypatch):
    monkeypatch.delenv("MILLSCALE_WEIGHTS", raising=False)
    before, after = open_start("packaged", task, [0, 1, 2]), detector("yolo_n", 2)
    start_from(before, after, "yolo_n", CLASSES, 0)
    (part,) = before.card.detectors
    graph = onnx.load_from_string(before.members[part.file]).graph
    (learned,) = (numpy_helper.to_array(t) for t in graph.initializer if t.name == "model.head.reg_preds.0.weight")
    torch.testing.assert_close(after.head.reg_preds[0].weight.detach(), torch.from_numpy(learned.copy()))


def test_a_name_that_is_no_file_is_told_the_choices(task):
    with pytest.raises(UsageError, match="expected public, random, packaged or a bundle's file, found 'pakaged'"):
        open_start("pakaged", task, [2])


def test_a_bundle_that_would_be_overwritten_is_refused(saved, task):
    with pytest.raises(UsageError, match="lies in the folder that is written to. Give another one with --out"):
        open_start(saved, replace(task, folder=Path(saved).parent / "checkpoints"), [2])


def test_a_bundle_that_keeps_nothing_of_what_it_learned_from_is_refused(nano, task, tmp_path):
    members = {name: data for name, data in nano.members.items() if name != SEEN}
    file = make_bundle(nano.card.model_dump(exclude={"sha256"}), members).save(tmp_path / "silent.millscale")
    with pytest.raises(UsageError, match="expected a bundle that keeps what it learned from"):
        open_start(str(file), task, [2])


def test_a_bundle_without_a_single_detector_is_refused(bundles, task):
    with pytest.raises(UsageError, match="one detector, found 0"):
        open_start(str(bundles.classifier), task, [0])
