"""The script whose runs the tables of located defects report: what it trains on and what it keeps."""

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("torch")

from millscale.core.types import Boxes
from millscale.data.manifest import ImageRecord, Manifest
from millscale.metrics.detection_results import read_coco_results, write_coco_results
from millscale.metrics.detections import DetectionTable

SCRIPT = Path(__file__).parents[3] / "scripts/detectors.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("detectors_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def images(tmp_path) -> Manifest:
    """Sixty of two classes, each its own group."""
    names = [f"{k:02}.png" for k in range(60)]
    boxes = [Boxes([[k, 2, k + 5, 9]], [k % 2]) for k in range(60)]
    records = [
        ImageRecord(name, tmp_path / name, label="ab"[k % 2], boxes=boxes[k], group=name)
        for k, name in enumerate(names)
    ]
    return Manifest(tuple(records), ("a", "b"), "sixty")


def found_in(images: Manifest, rows: list[int], score: float) -> DetectionTable:
    records = [images.records[row] for row in rows]
    return DetectionTable(
        ids=tuple(record.id for record in records),
        paths=tuple(record.path for record in records),
        sizes=((70, 70),) * len(rows),
        classes=images.classes,
        truth=tuple(record.boxes for record in records),
        found=tuple(Boxes(record.boxes.xyxy, record.boxes.class_id, [score]) for record in records),
        groups=tuple(record.group for record in records),
    )


def test_a_fold_joins_the_others_in_their_order_and_takes_the_place_of_its_own(script, images, tmp_path):
    path = tmp_path / "nano--folds-seed0.json.gz"
    for fold, rows, score in ((2, [4, 5], 0.2), (0, [0, 1], 0.1), (2, [4, 5], 0.9)):
        write_coco_results(path, script._with_fold(path, images, fold, found_in(images, rows, score)))
    kept = read_coco_results(path, images)
    assert kept.ids == ("00.png", "01.png", "04.png", "05.png")
    assert kept.fold.tolist() == [0, 0, 2, 2]
    assert [float(boxes.score[0]) for boxes in kept.found] == pytest.approx([0.1, 0.1, 0.9, 0.9])


def test_folds_hold_each_image_once_whatever_the_seed_of_a_training(script, images):
    groups = {name: name for name in images.ids}
    folds = script._folds(images, groups)
    assert sorted(name for fold in folds for name in fold) == list(images.ids)
    assert [set(script._few(images, groups, seed)["test"]) for seed in range(6)] == [
        set(folds[seed % 5]) for seed in range(6)
    ]


def test_few_images_of_each_class_are_annotated_and_none_that_is_judged(script, images, monkeypatch):
    monkeypatch.setattr(script, "FEW", 3)
    parts = script._few(images, {name: name for name in images.ids}, 1)
    labels = {record.id: record.label for record in images.records}
    assert sorted(labels[name] for name in parts["train"]) == ["a"] * 3 + ["b"] * 3
    assert not set(parts["train"]) & set(parts["test"])
