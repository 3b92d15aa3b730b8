"""Name what an image shows."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from millscale.core.errors import DataError, ModelError
from millscale.core.types import Image
from millscale.data.audit.audit import Audit
from millscale.data.manifest import Manifest
from millscale.imaging.decode import decode_image
from millscale.learn.calibrate import conformal_threshold
from millscale.learn.openset import HeldOut, calibrate
from millscale.learn.recipe import Progress, Task, Trained, spread
from millscale.metrics.evaluation import ClassificationMetrics
from millscale.metrics.predictions import PredictionTable
from millscale.pipeline.bundling import GOLDEN, bundle_with, golden_picture
from millscale.pipeline.config import TrainConfig
from millscale.pipeline.run import write_predictions
from millscale.report.report import AuditSummary, Protocol, Report
from millscale.runtime.backends.onnxruntime import Network
from millscale.runtime.bundle import Bundle
from millscale.runtime.inspector import Inspector

NAMED_SPLITS = False
MISCOVERAGES = (0.01, 0.05, 0.1)
PARITY = 1e-4
"""How far a probability of the bundle may be from the one that was evaluated."""


def usable(images: Manifest, audit: Audit, *, to_learn: bool = True) -> Manifest:
    """The labelled, decodable images with their groups, and the classes that have any.

    Raises:
        DataError: no class has images, or only one to learn from.
    """
    bad = set(audit.unreadable)
    kept = images.select(r.id for r in images.records if r.label is not None and r.id not in bad)
    found = tuple(name for name, count in kept.class_counts.items() if count)
    least = 2 if to_learn else 1
    if len(found) < least:
        raise DataError(
            f"{images.source}: expected images of at least {least} classes, found {len(kept)} usable "
            f"labelled images of {len(found)}. Put each class into a folder of its own."
        )
    return replace(kept.with_groups(audit.groups), classes=found)


def judged(task: Task, trained: Trained) -> PredictionTable:
    """The rows that some model judged out of fold; recipes may hold out only some folds."""
    table = _table(task, trained)
    rows = np.flatnonzero(np.isfinite(table.probs).all(1))
    if len(rows) == len(table):
        return table
    nearest = table.nearest
    return replace(
        table,
        ids=tuple(table.ids[i] for i in rows),
        paths=tuple(table.paths[i] for i in rows),
        labels=tuple(table.labels[i] for i in rows),
        probs=table.probs[rows],
        groups=tuple(table.groups[i] for i in rows) if table.groups is not None else None,
        fold=table.fold[rows] if table.fold is not None else None,
        nearest=nearest and replace(nearest, index=nearest.index[rows], similarity=nearest.similarity[rows]),
    )


def _table(task: Task, trained: Trained) -> PredictionTable:
    records = task.manifest.records
    return PredictionTable(
        ids=task.manifest.ids,
        paths=tuple(record.path for record in records),
        labels=tuple(record.label for record in records),
        classes=task.manifest.classes,
        probs=trained.probs,
        groups=tuple(record.group for record in records),
        fold=task.folds,
        nearest=trained.nearest,
    )


def measured(table: PredictionTable, seed: int) -> ClassificationMetrics:
    """Every number of the table."""
    return table.evaluate(seed=seed)


def bundle_of(
    task: Task, config: TrainConfig, trained: Trained, metrics: ClassificationMetrics | None, protocol: str
) -> Bundle:
    """The bundle of a trained classifier, its card filled in from what was done.

    Raises:
        UsageError: a good class that is no class.
        ModelError: the graph holds an operator that no bundle may.
    """
    rows = np.asarray(np.isfinite(trained.probs).all(1))
    probs, targets = trained.probs[rows], task.targets[rows]
    records = task.manifest.records
    groups = [record.group or record.id for record, judged in zip(records, rows, strict=True) if judged]
    golden = golden_picture()
    card: dict[str, Any] = {
        "parts": [{"task": "classify", "file": "classifier.onnx"}],
        "preprocess": trained.preprocess.to_json(),
        "calibration": {
            "method": "temperature",
            "temperature": trained.temperature,
            "fitted_on": trained.calibrated_on,
        },
        "conformal": {str(alpha): conformal_threshold(probs, targets, alpha, groups) for alpha in MISCOVERAGES},
        "golden": {"file": GOLDEN, "probs": _answer(trained, golden)},
        "metrics": metrics.to_json() if metrics else {},
    }
    members = {"classifier.onnx": trained.graph, GOLDEN: golden}
    if trained.guarded:
        held_out = HeldOut(trained.probs, task.targets, task.folds)
        openset = calibrate(trained.guarded, held_out, task.manifest.classes, config.unknown_rate)
        card |= {"openset": openset.model_dump(), "metrics": {**card["metrics"], "unknown_rate": openset.measured}}
        members |= trained.guarded.guard.members()
    return bundle_with(card, members, task, config, trained, protocol)


def _answer(trained: Trained, picture: bytes) -> list[float]:
    tensor, _ = trained.preprocess.apply(decode_image(picture))
    probs = Network(trained.graph, "classifier", threads=1).run({"images": tensor[None]}, ["probs"])[0][0]
    return [min(max(float(p), 0.0), 1.0) for p in probs]


def check_bundle(bundle: Bundle, manifest: Manifest, trained: Trained, progress: Progress) -> None:
    """Refuse a bundle that does not answer as the model that was evaluated.

    Every image for which the recipe gave a reference is compared, up to ``CHECKED`` of them, evenly spread.

    Raises:
        ModelError: a probability differs by more than 1e-4, or a decision does.
    """
    rows = spread(np.flatnonzero(np.isfinite(trained.reference).all(1)))
    inspector = Inspector(bundle)
    paths = [manifest.records[row].path for row in rows]
    for done, (row, found) in enumerate(zip(rows, inspector.inspect_files(paths), strict=True), 1):
        expected = trained.reference[row]
        if found.prediction is None or found.prediction.probs is None:
            raise ModelError(f"{found.path}: the bundle cannot read this image any more: {found.error}.")
        difference = float(np.abs(found.prediction.probs - expected).max())
        if difference > PARITY or int(found.prediction.probs.argmax()) != int(expected.argmax()):
            raise ModelError(
                f"{found.path}: the bundle's probabilities differ from the evaluated model's by "
                f"{difference:.1e} (at most {PARITY:.0e} is allowed). The bundle is not written; please report this."
            )
        progress("parity of the bundle", done, len(rows))


def report(
    table: PredictionTable,
    metrics: ClassificationMetrics,
    protocol: Protocol,
    title: str,
    audit: AuditSummary,
    mosaic: Image | None,
    details: Mapping[str, str],
) -> Report:
    """What the page shows."""
    return Report(table, metrics, protocol, title=title, audit=audit, mosaic=mosaic, details=details)


def save_predictions(folder: Path, table: PredictionTable) -> None:
    """Write ``predictions.csv``."""
    write_predictions(folder / "predictions.csv", table)
