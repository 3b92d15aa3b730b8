"""What differs between tasks, one file each; the flow of ``pipeline/train`` is the same for all.

A task's file offers ``NAMED_SPLITS`` (can it be judged on one given part alone?), ``usable``, ``judged``,
``measured``, ``bundle_of``, ``check_bundle``, ``report`` and ``save_predictions``, as ``Flow`` says.
"""

from collections.abc import Container, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast

from millscale.core import plugins
from millscale.core.types import Image
from millscale.data.audit.audit import Audit
from millscale.data.classes import is_good
from millscale.data.manifest import Manifest
from millscale.learn.recipe import Progress, Task
from millscale.metrics.anomaly import AnomalyMetrics, AnomalyTable
from millscale.metrics.detection import DetectionMetrics
from millscale.metrics.detections import DetectionTable
from millscale.metrics.evaluation import ClassificationMetrics
from millscale.metrics.predictions import PredictionTable
from millscale.pipeline.config import RECIPES, TrainConfig, recipe_of
from millscale.report.report import AnomalyReport, AuditSummary, DetectionReport, Report
from millscale.report.report import Protocol as ReportProtocol
from millscale.runtime.bundle import Bundle

TASKS = "millscale.pipeline.tasks"
Table = PredictionTable | DetectionTable | AnomalyTable
Metrics = ClassificationMetrics | DetectionMetrics | AnomalyMetrics


class Flow(Protocol):
    """What a task's file offers."""

    NAMED_SPLITS: bool

    def usable(self, images: Manifest, audit: Audit, *, to_learn: bool = True) -> Manifest:
        """The images that can be learned from, or else only be judged, with their groups."""

    def judged(self, task: Task, trained: Any) -> Table:
        """What models said of the images they were not trained on."""

    def measured(self, table: Any, seed: int) -> Metrics:
        """Every number of the table."""

    def bundle_of(self, task: Task, config: TrainConfig, trained: Any, metrics: Any, protocol: str) -> Bundle:
        """The bundle of the final model."""

    def check_bundle(self, bundle: Bundle, manifest: Manifest, trained: Any, progress: Progress) -> None:
        """Refuse a bundle that does not answer as the model that was evaluated."""

    def report(
        self,
        table: Any,
        metrics: Any,
        protocol: ReportProtocol,
        title: str,
        audit: AuditSummary,
        mosaic: Image | None,
        details: Mapping[str, str],
    ) -> Report | DetectionReport | AnomalyReport:
        """What the page shows."""

    def save_predictions(self, folder: Path, table: Any) -> None:
        """Write what was found, image by image."""


def flow_of(task: str) -> Flow:
    """The file of a task.

    Raises:
        UsageError: no such task.
    """
    module: ModuleType = plugins.load(TASKS, task)
    return cast(Flow, module)


def with_recipe(config: TrainConfig, images: Manifest) -> TrainConfig:
    """The config with its task and its recipe: those asked for, or what the data set's labels ask for.

    Raises:
        UsageError: an unknown recipe, or one of another task.
    """
    own = plugins.load(RECIPES, config.recipe).TASK if config.recipe else None
    task = config.task or own or task_of(images, config.options)
    few = any(record.label is None for record in images.records) and any(record.label for record in images.records)
    return replace(config, task=task, recipe=recipe_of(config.recipe, task, few=few))


def task_of(images: Manifest, options: Container[str] = ()) -> str:
    """The task that a data set's labels ask for.

    A training part of good images alone, with or without a test part, asks for an anomaly scorer. Boxes in more than
    half of the images ask for a detector, and so do fewer of them where most images are annotated and those without a
    box belong to no class; unless the options name a frozen backbone, which no detector has.
    """
    trained = {record.label for record in images.records if record.split != "test"}
    if trained and all(label is not None and is_good(label) for label in trained):
        return "anomaly"
    annotated = [(record.label, len(record.boxes)) for record in images.records if record.boxes is not None]
    drawn = sum(boxes > 0 for _, boxes in annotated)
    background = all(label is None for label, boxes in annotated if not boxes)
    most = (len(annotated) if drawn and background else drawn) > len(images) / 2
    return "detect" if most and "backbone" not in options else "classify"
