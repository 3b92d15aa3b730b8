"""Train a detector on annotated images, then again with the boxes that it finds on images without annotation."""

import math
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch

from millscale.core.errors import DataError
from millscale.core.types import Boxes
from millscale.imaging.decode import read_size
from millscale.imaging.preprocess import Geometry
from millscale.learn.recipe import Task, TrainedDetector
from millscale.metrics.detection_ap import average_precision
from millscale.metrics.detection_match import class_matches
from millscale.metrics.detections import DetectionTable
from millscale.runtime.card import Detection
from millscale.runtime.detect import decode
from millscale.runtime.fusion import AGREE, fuse
from millscale.runtime.views import boxes_of_view, view_of
from millscale.train.config import DetectorConfig, SemiDetectorConfig
from millscale.train.detection import Detector
from millscale.train.detector import Rows, Setup, locate, passed, train_detector, train_on
from millscale.train.device import repeatable
from millscale.train.export import Normalise
from millscale.train.pseudo import firm_limits, pseudo_boxes, teaches
from millscale.train.scenes import Source

_FOUND = Detection(least_score=0.05)
"""What is weaker in a view cannot matter in their mean."""


def train_semi_detector(task: Task, config: SemiDetectorConfig) -> TrainedDetector:
    """Judge on held-out folds, train the final detector, and write it as a graph; as ``train_detector``.

    The images without annotation (fold -1) are never judged, and none that shares a group with a fold held out has a
    part in the detector that is judged on it. ``details`` tells the mAP50 there of the teacher and of each student.

    Raises:
        DataError: no image without annotation; else as ``train_detector``.
    """
    if not (task.folds < 0).any():
        raise DataError(
            f"Expected images without annotation to learn from, found none among {len(task.folds)}. "
            "Add such images, or use --recipe detect."
        )
    return train_detector(task, config, _learn)


def _learn(setup: Setup, fold: int | None, name: str) -> tuple[Detector, dict[str, Any]]:
    """A teacher from the annotated images, then students of it."""
    config, folds = setup.config, setup.task.folds
    assert isinstance(config, SemiDetectorConfig)  # noqa: S101 - train_semi_detector gives one
    rows = setup.task.training_rows(fold)
    images = rows[folds[rows] >= 0], rows[folds[rows] < 0]
    annotated, bare = map(setup.pictures, images)
    # The teacher does not depend on the options of its students, nor need it be trained anew when they change.
    own = DetectorConfig(**{option.name: getattr(config, option.name) for option in fields(DetectorConfig)})
    names = [f"{name} teacher {number}".removesuffix(" 0") for number in range(config.teachers)]
    teachers = [train_on(replace(setup, config=own), annotated, teacher) for teacher in names]
    model = teachers[0]
    told: dict[str, Any] = {"annotated": len(images[0]), "without_annotation": len(images[1]), "rounds": []}
    judged = np.flatnonzero(folds == fold)
    told["map50"] = [_map50(setup, model, judged)] if len(judged) else []
    students = replace(config, epochs=config.student_epochs, rate=config.student_rate)
    for number in range(config.rounds if len(bare) else 0):
        source, counts = _with_pseudo_boxes(setup, teachers, annotated, bare, f"{name} boxes {number}")
        told["rounds"].append(counts)
        used = bare[[teaches(source.boxes[row]) for row in bare]]
        shown = passed(setup, annotated, np.random.default_rng(setup.task.seed))
        mixed = np.concatenate([np.tile(shown, _times(len(shown), len(used), config.annotated)), used])
        start = None if config.anew else model
        model = train_on(replace(setup, config=students, source=source), mixed, f"{name} student {number}", start)
        teachers = [model]
        told["map50"] += [_map50(setup, model, judged)] if len(judged) else []
    return model, told


def _times(annotated: int, bare: int, share: float) -> int:
    """How often the annotated images stand in an epoch to make up ``share`` of it, once at least."""
    return max(1, math.ceil(share / (1 - share) * bare / annotated))


def _with_pseudo_boxes(
    setup: Setup, teachers: Sequence[Detector], annotated: Rows, bare: Rows, name: str
) -> tuple[Source, dict[str, Any]]:
    """The images with boxes also for those without annotation, and how many of which class at which limit."""
    config, classes = setup.config, setup.task.manifest.classes
    assert isinstance(config, SemiDetectorConfig)  # noqa: S101 - train_semi_detector gives one
    found = found_in_views(setup, teachers, bare, config.teacher_views, name)
    boxes = list(setup.source.boxes)
    limits = firm_limits(found, [boxes[row] for row in annotated], len(classes), config.share, config.firm)
    for row, one in zip(bare, found, strict=True):
        boxes[row] = pseudo_boxes(one, limits, config.ignored)
    firm = np.concatenate([boxes[row].class_id[~np.asarray(boxes[row].difficult)] for row in bare])
    counts = np.bincount(firm, minlength=len(classes)).tolist()
    told = {
        name: {"limit": round(limit, 4), "boxes": n} for name, limit, n in zip(classes, limits, counts, strict=True)
    }
    return Source(setup.source.pixels, boxes), told


@torch.no_grad()
def found_in_views(setup: Setup, models: Sequence[Detector], rows: Rows, views: int, name: str) -> list[Boxes]:
    """What models find in several dihedral views of each image, fused, in pixels of the tensor.

    A fused box scores its mean score times the share of the models' views that found it.
    """
    size = setup.preprocess.size
    assert size is not None  # noqa: S101 - a detector's images all have one
    views = min(views, 8 if size[0] == size[1] else 4)  # the first four are not transposed
    normalise = Normalise(setup.preprocess).to(setup.device)
    for model in models:
        model.eval()
    fused = []
    with repeatable(setup.device):
        for done, row in enumerate(rows, 1):
            seen = np.stack([view_of(setup.source.pixels[row], view) for view in range(views)])
            images = normalise(torch.from_numpy(seen).to(setup.device)).contiguous(memory_format=torch.channels_last)
            back = []
            for model in models:
                xyxy, scores = (answer.cpu().numpy() for answer in model.raw(images))
                found = [decode(xyxy[view], scores[view], _FOUND, Geometry(), size) for view in range(views)]
                back += [Boxes(boxes_of_view(b.xyxy, k, size), b.class_id, b.score) for k, b in enumerate(found)]
            fused.append(fuse(back, iou=AGREE, least_score=_FOUND.least_score, most=_FOUND.most))
            setup.task.progress(name, done, len(rows))
    return fused


def _map50(setup: Setup, model: Detector, rows: Rows) -> float:
    """Mean average precision at IoU .5 of a detector on annotated images."""
    records = [setup.task.manifest.records[row] for row in rows]
    table = DetectionTable(
        ids=tuple(record.id for record in records),
        paths=tuple(record.path for record in records),
        sizes=tuple(read_size(record.path)[::-1] for record in records),
        classes=setup.task.manifest.classes,
        truth=tuple(record.boxes for record in records if record.boxes is not None),
        found=tuple(locate(setup, model, rows)),
    )
    each = [average_precision(class_matches(table, index, np.array([0.5])))[0] for index in range(len(table.classes))]
    return round(float(np.nanmean(each)), 6)
