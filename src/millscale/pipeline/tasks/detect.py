"""Locate what an image shows."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from millscale.core.boxes import iou_matrix
from millscale.core.errors import DataError, ModelError
from millscale.core.types import Boxes, Image
from millscale.data.audit.audit import Audit
from millscale.data.manifest import Manifest
from millscale.data.sound import ways_to_boxes
from millscale.imaging.decode import decode_image, read_size
from millscale.learn.recipe import Progress, Task, TrainedDetector, spread
from millscale.metrics.detection import DetectionMetrics
from millscale.metrics.detection_results import write_coco_results
from millscale.metrics.detection_thresholds import choose_thresholds, crossfit_thresholds
from millscale.metrics.detections import DetectionTable
from millscale.pipeline.bundling import GOLDEN, bundle_with, golden_picture
from millscale.pipeline.config import TrainConfig
from millscale.report.report import AuditSummary, DetectionReport, Protocol
from millscale.runtime.bundle import Bundle
from millscale.runtime.card import Part
from millscale.runtime.inspector import Inspector
from millscale.runtime.locate import golden_scores

NAMED_SPLITS = True
GRAPH = "detector.onnx"
PARITY_PIXELS, PARITY_SCORE = 0.1, 1e-3
"""How far a box of the bundle may be from the one that was evaluated."""
COMPARED = 0.05
"""Boxes weaker than this are not compared."""
SAME = 0.99
"""Share of the compared boxes that must be there: of two that are equally strong, either may suppress the other."""


def usable(images: Manifest, audit: Audit, *, to_learn: bool = True) -> Manifest:
    """The annotated, decodable images with their groups, and the classes that any box has.

    Images that are annotated and hold no box are background, and stay.

    Raises:
        DataError: no image is annotated, or none to learn from has a box.
    """
    bad = set(audit.unreadable)
    kept = images.select(r.id for r in images.records if r.boxes is not None and r.id not in bad)
    found = of_drawn_classes(kept)
    if not len(kept) or (to_learn and not found.classes):
        wanted = "drawn boxes" if to_learn else "annotations"
        raise DataError(
            f"{images.source}: expected images with {wanted}, found none among {len(kept)} annotated images. "
            f"{ways_to_boxes(images)}{' Or train with --task classify.' if to_learn else ''}"
        )
    return found.with_groups(audit.groups)


def of_drawn_classes(images: Manifest) -> Manifest:
    """The same images, and only those classes that a box of them has."""
    drawn = {int(i) for record in images.records if record.boxes is not None for i in record.boxes.class_id}
    return images.with_classes([name for i, name in enumerate(images.classes) if i in drawn])


def judged(task: Task, trained: TrainedDetector) -> DetectionTable:
    """The images of the folds that some model judged without having seen them."""
    rows = [row for row, boxes in enumerate(trained.boxes) if boxes is not None]
    records = [task.manifest.records[row] for row in rows]
    sizes = [read_size(record.path) for record in records]
    return DetectionTable(
        ids=tuple(record.id for record in records),
        paths=tuple(record.path for record in records),
        sizes=tuple((height, width) for width, height in sizes),
        classes=task.manifest.classes,
        truth=tuple(record.boxes for record in records if record.boxes is not None),
        found=tuple(boxes for boxes in trained.boxes if boxes is not None),
        groups=tuple(record.group for record in records),
        fold=task.folds[rows],
    )


def measured(table: DetectionTable, seed: int, kept: Mapping[str, float] = MappingProxyType({})) -> DetectionMetrics:
    """Every number of the table; each image is judged at thresholds that images of other groups chose.

    Args:
        table: found boxes.
        seed: of the deal and the intervals.
        kept: thresholds of classes that nothing here is to choose.
    """
    limits = crossfit_thresholds(table, seed=seed)
    limits[:, [table.classes.index(name) for name in kept]] = list(kept.values())
    return table.evaluate(thresholds=choose_thresholds(table) | dict(kept), limits=limits, seed=seed)


def bundle_of(
    task: Task, config: TrainConfig, trained: TrainedDetector, metrics: DetectionMetrics, protocol: str
) -> Bundle:
    """The bundle of a trained detector, its card filled in from what was done.

    Raises:
        UsageError: a good class that is no class.
        ModelError: the graph holds an operator that no bundle may.
    """
    thresholds = dict(zip(metrics.classes, metrics.thresholds.tolist(), strict=True))
    detection = trained.detection.model_copy(update={"thresholds": thresholds})
    preprocess = trained.preprocess.to_json()
    part = Part(task="detect", file=GRAPH, preprocess=preprocess, detection=detection, tile=trained.tile)
    golden = golden_picture()
    scores = golden_scores(trained.graph, part, decode_image(golden), len(task.manifest.classes))
    card = {
        "parts": [part.model_dump()],
        "golden": {"file": GOLDEN, "scores": {GRAPH: scores}},
        "metrics": on_card(metrics),
    }
    return bundle_with(card, {GRAPH: trained.graph, GOLDEN: golden}, task, config, trained, protocol, trained.start)


def on_card(metrics: DetectionMetrics) -> dict[str, Any]:
    """What a card keeps of the metrics: all but the curves, hundreds of points that the report draws."""
    return {name: value for name, value in metrics.to_json().items() if name != "curves"}


def check_bundle(bundle: Bundle, manifest: Manifest, trained: TrainedDetector, progress: Progress) -> None:
    """Refuse a bundle that does not find what the model found that was evaluated.

    Raises:
        ModelError: more than 1 % of the boxes are missing, or moved by more than 0.1 pixel or 1e-3 in score.
    """
    rows = spread(np.array([i for i, boxes in enumerate(trained.reference) if boxes is not None], np.int64))
    paths = [manifest.records[row].path for row in rows]
    expected = same = 0
    for done, (row, found) in enumerate(zip(rows, Inspector(bundle).inspect_files(paths), strict=True), 1):
        if found.prediction is None or found.prediction.boxes is None:
            raise ModelError(f"{found.path}: the bundle cannot read this image any more: {found.error}.")
        reference = trained.reference[row]
        if reference is not None:
            there = found_again(reference, found.prediction.boxes)
            expected, same = expected + len(there), same + int(there.sum())
        progress("parity of the bundle", done, len(rows))
    if same < SAME * expected:
        raise ModelError(
            f"The bundle finds {same} of the {expected} boxes that the evaluated model found (within {PARITY_PIXELS} "
            f"pixels and {PARITY_SCORE} in score; at least {SAME:.0%} is needed). The bundle is not written; please "
            "report this."
        )


def found_again(reference: Boxes, boxes: Boxes) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which boxes of the reference, the weak ones left out, have their like."""
    assert reference.score is not None  # noqa: S101 - Boxes fills it in
    assert boxes.score is not None  # noqa: S101
    strong = np.flatnonzero(reference.score >= COMPARED)
    if not len(strong) or not len(boxes):
        return np.zeros(len(strong), np.bool_)
    of_class = reference.class_id[strong, None] == boxes.class_id[None]
    best = np.where(of_class, iou_matrix(reference.xyxy[strong], boxes.xyxy), -1.0).argmax(1)
    moved = np.abs(reference.xyxy[strong] - boxes.xyxy[best]).max(1)
    change = np.abs(reference.score[strong] - boxes.score[best])
    return np.asarray((moved <= PARITY_PIXELS) & (change <= PARITY_SCORE))


def report(
    table: DetectionTable,
    metrics: DetectionMetrics,
    protocol: Protocol,
    title: str,
    audit: AuditSummary,
    mosaic: Image | None,
    details: Mapping[str, str],
) -> DetectionReport:
    """What the page shows."""
    return DetectionReport(table, metrics, protocol, title=title, audit=audit, mosaic=mosaic, details=details)


def save_predictions(folder: Path, table: DetectionTable) -> None:
    """Write ``predictions.json.gz``, COCO results."""
    write_coco_results(folder / "predictions.json.gz", table)
