"""What a report says, before it is drawn: numbers, protocol, audit and the predictions behind them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from millscale.core.types import Image, Problem
from millscale.learn.clusters import Clusters
from millscale.metrics.anomaly import AnomalyMetrics, AnomalyTable
from millscale.metrics.clusters import ClusterScores
from millscale.metrics.detection import DetectionMetrics
from millscale.metrics.detections import DetectionTable
from millscale.metrics.evaluation import ClassificationMetrics
from millscale.metrics.predictions import PredictionTable


@dataclass(frozen=True)
class Protocol:
    """How the predictions were made; a number without it is not a result.

    Attributes:
        split: what was held out, such as "5-fold cross-validation, overlapping images kept together".
        trained_on: what the judging model had seen, such as "the other four folds, about 1440 images".
        leak: share in [0, 1] of the judged images that share pixels with an image their model was trained on;
            None where it was not measured.
    """

    split: str
    trained_on: str = ""
    leak: float | None = None


@dataclass(frozen=True)
class AuditSummary:
    """What the data audit found, in counts.

    Attributes:
        images: usable images.
        groups: sets of images that share pixels, single images included.
        largest_group: images in the largest of them.
        exact_duplicates: pairs of identical images.
        overlaps: pairs of images with a common region, exact duplicates left out.
        overlapping_images: images that take part in such a pair.
        near_duplicates: pairs that look alike without a common region.
        suspect_labels: images whose label is doubtful.
        problems: everything that was refused or mended, with its remedy.
    """

    images: int
    groups: int
    largest_group: int | None = None
    exact_duplicates: int | None = None
    overlaps: int | None = None
    overlapping_images: int | None = None
    near_duplicates: int | None = None
    suspect_labels: int | None = None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, eq=False)
class Report:
    """Everything that a report on a classifier shows, from predictions alone.

    Attributes:
        table: the predictions.
        metrics: their numbers, see :meth:`PredictionTable.evaluate`.
        protocol: how they were made.
        title: the page's heading.
        audit: the data audit, or None.
        mosaic: a picture of the largest groups of overlapping images, or None.
        details: run details in the order to show them: seed, versions, fingerprint, thresholds.
    """

    table: PredictionTable
    metrics: ClassificationMetrics
    protocol: Protocol
    title: str = "Surface classification"
    audit: AuditSummary | None = None
    mosaic: Image | None = None
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class DetectionReport:
    """Everything that a report on a detector shows, from found boxes alone.

    Attributes:
        table: the annotations and the found boxes.
        metrics: their numbers, see :meth:`DetectionTable.evaluate`; its thresholds choose the boxes drawn.
        protocol: how the boxes were found.
        title: the page's heading.
        audit: the data audit, or None.
        mosaic: a picture of the largest groups of overlapping images, or None.
        details: run details in the order to show them.
    """

    table: DetectionTable
    metrics: DetectionMetrics
    protocol: Protocol
    title: str = "Defects located"
    audit: AuditSummary | None = None
    mosaic: Image | None = None
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class AnomalyReport:
    """Everything that a report on an anomaly detector shows, from scores alone.

    Attributes:
        table: the truth and the raw scores.
        metrics: their numbers, see :meth:`AnomalyTable.evaluate`.
        protocol: how the scores were made.
        title: the page's heading.
        audit: the data audit, or None.
        mosaic: a picture of the largest groups of overlapping images, or None.
        details: run details in the order to show them, such as how the threshold was chosen.
        maps: ``(H, W)`` float32 raw anomaly map by image id, of the images to be pictured, see
            :func:`millscale.report.anomaly_selection.pictured`; without one the image stands alone.
    """

    table: AnomalyTable
    metrics: AnomalyMetrics
    protocol: Protocol
    title: str = "Anomalies"
    audit: AuditSummary | None = None
    mosaic: Image | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    maps: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ClusterReport:
    """Everything that a report on images grouped without labels shows.

    Attributes:
        clusters: the groups found, with what speaks for them.
        place: ``(n, 2)`` where each image stands on the map, in [0, 1].
        ids, paths, labels, groups: of each image; a label is None where unknown.
        scores: against the labels; None where there are too few.
        title: the page's heading.
        audit: the data audit, or None.
        details: run details in the order to show them.
    """

    clusters: Clusters
    place: NDArray[np.float64]
    ids: tuple[str, ...]
    paths: tuple[Path, ...]
    labels: tuple[str | None, ...]
    groups: tuple[str, ...]
    scores: ClusterScores | None = None
    title: str = "Images grouped by their looks"
    audit: AuditSummary | None = None
    details: Mapping[str, str] = field(default_factory=dict)
