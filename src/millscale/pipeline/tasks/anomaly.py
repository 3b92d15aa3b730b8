"""Find what is unlike good images."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from millscale.core.errors import DataError, ModelError
from millscale.core.types import Image
from millscale.data.audit.audit import BLANK_IMAGE, Audit
from millscale.data.defect_free import is_defect_free
from millscale.data.labels import write_table
from millscale.data.manifest import ImageRecord, Manifest
from millscale.imaging.decode import decode_image
from millscale.learn.recipe import Progress, Task, TrainedAnomaly, spread
from millscale.metrics.anomaly import AnomalyMetrics, AnomalyTable
from millscale.pipeline.bundling import GOLDEN, bundle_with, golden_picture
from millscale.pipeline.config import TrainConfig
from millscale.report.report import AnomalyReport, AuditSummary, Protocol
from millscale.runtime.anomaly import NORMAL, Scorer, squashed
from millscale.runtime.arrays import npy
from millscale.runtime.backends.onnxruntime import Network
from millscale.runtime.bundle import Bundle
from millscale.runtime.decide import ANOMALY
from millscale.runtime.inspector import Inspector

NAMED_SPLITS = False
GOOD, DEFECT = "good", "defect"
"""Labels of images whose folder gives none."""
GRAPH = "anomaly.onnx"
PARITY = 1e-4
"""How far a score of the bundle may be from the one that was evaluated."""
LIMIT = 1.0
"""Scores are in multiples of the threshold."""


def usable(images: Manifest, audit: Audit, *, to_learn: bool = True) -> Manifest:
    """The decodable images with their groups, each labelled: by its folder, else by its mask or boxes.

    None that shows nothing is learned from: a black frame among the good would pass for good.

    Where nothing says whether an image is good, all are taken to be, if none has a label.

    Raises:
        DataError: nothing can be decoded.
    """
    blank = {problem.path for problem in audit.problems if problem.code == BLANK_IMAGE} if to_learn else set()
    bad = blank.union(audit.unreadable)
    kept = [record for record in images.records if record.id not in bad]
    plain = all(record.label is None for record in kept)
    labelled = tuple(replace(record, label=label) for record in kept if (label := _label(record, plain=plain)))
    if not labelled:
        raise DataError(
            f"{images.source}: expected good images, found {len(kept)} that can be decoded and none of them labelled. "
            "Put them into a folder called 'good'."
        )
    manifest = replace(images, records=labelled, classes=tuple(sorted({str(record.label) for record in labelled})))
    return manifest.with_groups(audit.groups)


def _label(record: ImageRecord, *, plain: bool) -> str | None:
    if record.label is not None:
        return record.label
    free = is_defect_free(record)
    return (GOOD if plain else None) if free is None else GOOD if free else DEFECT


def judged(task: Task, trained: TrainedAnomaly) -> AnomalyTable:
    """The images that a model judged which was not fitted on their group."""
    rows = np.flatnonzero(np.isfinite(trained.scores))
    records = [task.manifest.records[row] for row in rows]
    return AnomalyTable(
        ids=tuple(record.id for record in records),
        paths=tuple(record.path for record in records),
        kinds=tuple(record.label for record in records),
        defective=~trained.good[rows],
        scores=trained.scores[rows],
        masks=tuple(record.mask for record in records),
        groups=tuple(record.group for record in records),
        fold=trained.parts[rows],
        pixels=trained.pixels,
        maps=trained.maps,
    )


def measured(table: AnomalyTable, seed: int) -> AnomalyMetrics:
    """Every number of the table."""
    return table.evaluate(threshold=LIMIT, seed=seed)


def bundle_of(
    task: Task, config: TrainConfig, trained: TrainedAnomaly, metrics: AnomalyMetrics, protocol: str
) -> Bundle:
    """The bundle of a fitted scorer, its card filled in from what was done.

    Raises:
        ModelError: the graph holds an operator that no bundle may.
    """
    golden = golden_picture()
    scorer = Scorer(Network(trained.graph, "anomaly network", threads=1), trained.preprocess, trained.tile)
    card = {
        "parts": [
            {
                "task": "anomaly",
                "file": GRAPH,
                "preprocess": trained.preprocess.to_json(),
                "alarms": trained.threshold.to_json(),
                "tile": trained.tile,
            }
        ],
        "classes": (GOOD, ANOMALY),
        "good_classes": (GOOD,),
        "golden": {"file": GOLDEN, "raw": scorer.score(decode_image(golden)).raw},
        "metrics": metrics.to_json(),
    }
    members = {GRAPH: trained.graph, GOLDEN: golden, NORMAL: npy(trained.normal)}
    return bundle_with(card, members, task, config, trained, protocol)


def check_bundle(bundle: Bundle, manifest: Manifest, trained: TrainedAnomaly, progress: Progress) -> None:
    """Refuse a bundle that does not score as the model that was evaluated.

    Raises:
        ModelError: a score in [0, 1] differs by more than 1e-4.
    """
    rows = spread(np.flatnonzero(np.isfinite(trained.reference)))
    expected = [squashed(raw, trained.threshold.threshold) for raw in trained.reference[rows].tolist()]
    paths = [manifest.records[row].path for row in rows]
    for done, (score, found) in enumerate(zip(expected, Inspector(bundle).inspect_files(paths), strict=True), 1):
        if found.prediction is None:
            raise ModelError(f"{found.path}: the bundle cannot read this image any more: {found.error}.")
        if abs(found.prediction.score - score) > PARITY:
            raise ModelError(
                f"{found.path}: the bundle scores {found.prediction.score:.6f}, the evaluated model {score:.6f} (at "
                f"most {PARITY:.0e} apart is allowed). The bundle is not written; please report this."
            )
        progress("parity of the bundle", done, len(rows))


def report(
    table: AnomalyTable,
    metrics: AnomalyMetrics,
    protocol: Protocol,
    title: str,
    audit: AuditSummary,
    mosaic: Image | None,
    details: Mapping[str, str],
) -> AnomalyReport:
    """What the page shows."""
    return AnomalyReport(
        table, metrics, protocol, title=title, audit=audit, mosaic=mosaic, details=details, maps=table.maps
    )


def save_predictions(folder: Path, table: AnomalyTable) -> None:
    """Write ``predictions.csv``: image, label, defective, group, and the score in multiples of the limit."""
    groups = table.groups or (None,) * len(table.ids)
    rows = zip(table.ids, table.kinds, table.defective, groups, table.scores, strict=True)
    told = ([name, kind or "", int(odd), group or "", f"{score:.6f}"] for name, kind, odd, group, score in rows)
    write_table(folder / "predictions.csv", ["image", "label", "defective", "group", "score"], told)
