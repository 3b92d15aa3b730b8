"""What a training leaves behind, in memory and in its folder."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from millscale.core.errors import DataError, UsageError
from millscale.core.files import write_whole
from millscale.data.audit.audit import Audit
from millscale.data.labels import write_table
from millscale.data.manifest import Manifest
from millscale.data.split import Split
from millscale.metrics.anomaly import AnomalyMetrics, AnomalyTable
from millscale.metrics.detection import DetectionMetrics
from millscale.metrics.detections import DetectionTable
from millscale.metrics.evaluation import ClassificationMetrics
from millscale.metrics.predictions import PredictionTable
from millscale.report.html import write_report
from millscale.report.report import AnomalyReport, DetectionReport, Protocol, Report
from millscale.runtime.bundle import Bundle

RUN_FILE = "run.json"
UNJUDGED = "To measure it, label images of two independent groups of each class at least."
_PACKAGES = (
    "millscale",
    "numpy",
    "Pillow",
    "onnxruntime",
    "scikit-learn",
    "scipy",
    "onnx",
    "torch",
    "torchvision",
    "faster-coco-eval",
)


@dataclass(frozen=True, eq=False)
class Run:
    """A finished training.

    Attributes:
        folder: holds everything below as files.
        manifest: the images that were used, with their groups.
        audit: of the whole data set.
        split: the folds.
        table: out-of-fold predictions.
        metrics: of that table; None where no label could be held out.
        bundle: the final model, trained on all folds.
        bundle_path: its file.
        document: ``run.json``.
        protocol: how the predictions were made.
    """

    folder: Path
    manifest: Manifest
    audit: Audit
    split: Split
    table: PredictionTable | DetectionTable | AnomalyTable
    metrics: ClassificationMetrics | DetectionMetrics | AnomalyMetrics | None
    bundle: Bundle
    bundle_path: Path
    document: dict[str, Any]
    protocol: Protocol
    _report: Report | DetectionReport | AnomalyReport | None

    def report(self, path: Path | str) -> Path:
        """Write the report as one HTML page, with its pictures as PNGs beside it.

        Raises:
            DataError: there is nothing to report, because no label could be held out.
        """
        if self._report is None:
            raise DataError(f"{self.folder}: expected predictions to report, found none. {UNJUDGED}")
        return write_report(Path(path), self._report)[0]

    def to_json(self) -> dict[str, Any]:
        """The document that ``train --json`` prints."""
        return {
            "run": str(self.folder),
            "bundle": str(self.bundle_path),
            "metrics": self.document["metrics"],
            "seconds": self.document["seconds"],
        }


def environment() -> dict[str, Any]:
    """Package versions, machine and the working folder's git commit, for ``run.json``."""
    return {
        "versions": {"python": platform.python_version(), **_versions(_PACKAGES)},
        "machine": {"platform": platform.platform(), "cores": os.cpu_count()},
        "git_commit": _git_commit(),
        "command": sys.argv[1:],
    }


def _versions(packages: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _git_commit() -> str | None:
    try:
        command = ["git", "rev-parse", "HEAD"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON document, paths in it as text, all or nothing."""
    write_whole(path, json.dumps(document, indent=1, ensure_ascii=False, default=os.fspath) + "\n")


def write_predictions(path: Path, table: PredictionTable) -> None:
    """Write predictions as CSV: image, truth, group, fold, prediction, one probability a class."""
    rows = []
    for i, name in enumerate(table.ids):
        group = table.groups[i] if table.groups is not None else ""
        fold = int(table.fold[i]) if table.fold is not None else ""
        predicted = table.classes[int(table.predicted[i])]
        rows.append([name, table.labels[i], group, fold, predicted, *(f"{p:.6f}" for p in table.probs[i])])
    write_table(path, ["image", "label", "group", "fold", "prediction", *table.classes], rows)


def deviations(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What the repetition of a run was not given as it was, in words; both are documents of a ``run.json``."""
    found = ["these are not the images"] if before.get("dataset") != now.get("dataset") else []
    first, second = ((document.get("trained") or {}).get("start") for document in (before, now))
    return found + (["the bundle to go on from is not the one"] if first != second else [])


def read_run(path: Path) -> dict[str, Any]:
    """The document of an earlier run, from its ``run.json`` or its folder.

    Raises:
        UsageError: not such a file.
    """
    file = path / RUN_FILE if path.is_dir() else path
    try:
        document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        document["config"]["recipe"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{file}: expected a run.json written by `millscale train`, found something else ({error})."
        ) from error
    return document
