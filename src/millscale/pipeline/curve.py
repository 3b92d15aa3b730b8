"""How many labels are enough: the learning curve of a labelled data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import DataError, UsageError
from millscale.data.manifest import Manifest
from millscale.data.split import split
from millscale.features.backbone import DEFAULT_BACKBONE, open_backbones
from millscale.features.extract import averaged, extract
from millscale.features.working_size import fitting
from millscale.learn.learning_curve import CurvePoint
from millscale.learn.learning_curve import learning_curve as measure
from millscale.learn.probe import ProbeConfig
from millscale.learn.recipe import Progress
from millscale.pipeline.audited import audited
from millscale.pipeline.summary import silent
from millscale.pipeline.tasks import flow_of
from millscale.report.curve import write_curve_page

COUNTS = (1, 2, 5, 10, 20)
_FOLDS = 5


@dataclass(frozen=True)
class LearningCurve:
    """Accuracy against labels of each class.

    Attributes:
        points: by rising number of labels.
        images, groups, draws: what was measured on.
        classes: their names.
        title: the data set's name.
    """

    points: tuple[CurvePoint, ...]
    images: int
    groups: int
    draws: int
    classes: tuple[str, ...]
    title: str

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        points = [
            {"labels": p.labels, "spread": _plain(p.spread), "head": _plain(p.head), "alone": _plain(p.alone)}
            for p in self.points
        ]
        return {"images": self.images, "groups": self.groups, "classes": list(self.classes), "points": points}

    def report(self, path: Path | str) -> Path:
        """Write the curve as one HTML page, with its chart as a PNG beside it."""
        curves = {
            "suggestions": [point.spread for point in self.points],
            "model, new images": [point.head for point in self.points],
            "labels alone, new images": [point.alone for point in self.points],
        }
        facts = {"images": self.images, "groups": self.groups, "draws": self.draws, "classes": len(self.classes)}
        write_curve_page(Path(path), [point.labels for point in self.points], curves, facts, self.title)
        return Path(path)


def _plain(draws: NDArray[np.float64]) -> list[float | None]:
    """None where no image was left to judge."""
    return [None if np.isnan(value) else value for value in draws.tolist()]


def learning_curve(
    images: Manifest,
    *,
    labels: Sequence[int] = COUNTS,
    draws: int = 10,
    backbone: str = DEFAULT_BACKBONE,
    seed: int = 0,
    progress: Progress = silent,
) -> LearningCurve:
    """Measure what labels are worth on a data set whose labels are all known.

    Args:
        images: the data set.
        labels: of each class; the sizes to try.
        draws: of each size, 2 or more.
        backbone: names or paths, joined by ``+``.
        seed: of folds and draws.
        progress: called with (what, done, total).

    Raises:
        UsageError: no size, one below 1, or fewer than 2 draws.
        DataError: fewer than two classes or five groups, or too few images of a class for the largest size.
    """
    if not labels or min(labels) < 1 or draws < 2:
        raise UsageError(f"Expected sizes of at least 1 and 2 draws or more, found {list(labels)} and {draws}.")
    audit = audited(images, progress)
    known = flow_of("classify").usable(images, audit)
    groups = [str(record.group) for record in known.records]
    parts = split(known, folds=_FOLDS, seed=seed)
    features = extract(known, open_backbones(backbone), fitting(known), progress=progress)
    if len(features.manifest) != len(known):
        raise DataError(features.manifest.problems[-1].message)
    points = measure(
        np.concatenate([averaged(chunk, ProbeConfig.views) for chunk in features.chunks()]),
        known.targets,
        np.unique(groups, return_inverse=True)[1],
        parts.fold_of(known.ids),
        sorted(set(labels)),
        draws=draws,
        seed=seed,
        progress=progress,
    )
    title = Path(images.source).resolve().name
    return LearningCurve(tuple(points), len(known), len(set(groups)), draws, known.classes, title)
