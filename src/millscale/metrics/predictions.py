"""What a report is made from: one row per image, and nothing of the model that made it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import DataError
from millscale.metrics.classification import Floats, Ints
from millscale.metrics.evaluation import ClassificationMetrics, evaluate_classification


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The training images most like each predicted image, nearest first.

    Attributes:
        index: ``(N, k)`` int64 into ``ids``; -1 where there are fewer than k.
        similarity: ``(N, k)`` float, larger is more alike (cosine of the features, say).
        ids, paths, labels: the M training images. In cross-validation these are the table's own, and the
            nearest ones come from the folds the image was not in.
    """

    index: NDArray[np.int64]
    similarity: NDArray[np.floating]
    ids: tuple[str, ...]
    paths: tuple[Path, ...]
    labels: tuple[str | None, ...]

    def __post_init__(self) -> None:
        if self.index.ndim != 2 or self.index.shape != self.similarity.shape:
            raise DataError(
                f"Expected index and similarity (N, k), found {self.index.shape} and "
                f"{self.similarity.shape}; pass both from one search."
            )
        if self.index.size and self.index.max() >= len(self.ids):
            raise DataError(
                f"Expected neighbours in [0, {len(self.ids)}), found {self.index.max()}; "
                "pass the ids the search ran over."
            )


@dataclass(frozen=True, eq=False)
class PredictionTable:
    """Predictions of one classifier, one row per image, each made by a model that did not train on it.

    Attributes:
        ids: N image ids, unique.
        paths: N image files.
        labels: N true class names, None for an unlabelled image.
        classes: C class names, the order of ``probs``.
        probs: ``(N, C)`` float, rows summing to 1.
        groups: N group names (None for an image that stands alone), or None where groups are unknown.
        fold: ``(N,)`` int, the fold that held the image out, or None.
        nearest: the nearest training images, or None.

    Raises:
        DataError: a part has another length, or a label is no class.
    """

    ids: tuple[str, ...]
    paths: tuple[Path, ...]
    labels: tuple[str | None, ...]
    classes: tuple[str, ...]
    probs: NDArray[np.floating]
    groups: tuple[str | None, ...] | None = None
    fold: NDArray[np.integer] | None = None
    nearest: Neighbours | None = None

    def __post_init__(self) -> None:
        lengths = {"paths": len(self.paths), "labels": len(self.labels)}
        if self.groups is not None:
            lengths["groups"] = len(self.groups)
        if self.fold is not None:
            lengths["fold"] = len(self.fold)
        if self.nearest is not None:
            lengths["nearest"] = len(self.nearest.index)
        wrong = {name: n for name, n in lengths.items() if n != len(self.ids)}
        if wrong or self.probs.shape != (len(self.ids), len(self.classes)):
            raise DataError(
                f"Expected one row for each of {len(self.ids)} ids and {len(self.classes)} classes, "
                f"found probs {self.probs.shape} and {wrong or 'all else right'}; pass the rows of one run."
            )
        unknown = sorted(set(self.labels) - set(self.classes) - {None}, key=str)
        if unknown:
            raise DataError(
                f"Expected labels among {', '.join(self.classes)}; found {', '.join(map(str, unknown[:5]))}; "
                "rename those folders or leave them out."
            )

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def y_true(self) -> Ints:
        """``(N,)`` int64 class indices, -1 where unlabelled."""
        index: dict[str | None, int] = {name: i for i, name in enumerate(self.classes)}
        return np.array([index.get(label, -1) for label in self.labels], dtype=np.int64)

    @cached_property
    def predicted(self) -> Ints:
        """``(N,)`` int64, the first most probable class."""
        return np.asarray(self.probs.argmax(1), dtype=np.int64)

    @cached_property
    def confidence(self) -> Floats:
        """``(N,)`` float64, the predicted class's probability."""
        return np.asarray(self.probs.max(1), dtype=np.float64)

    @cached_property
    def errors(self) -> Ints:
        """Rows whose prediction differs from a known truth, the most confident error first."""
        wrong = np.flatnonzero((self.y_true >= 0) & (self.predicted != self.y_true))
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")].astype(np.int64)

    def evaluate(self, *, seed: int = 0, resamples: int = 1000) -> ClassificationMetrics:
        """The metrics over the labelled rows.

        Raises:
            DataError: no labelled row.
        """
        rows = np.flatnonzero(self.y_true >= 0)
        groups = None if self.groups is None else _pick(self.groups, rows)
        return evaluate_classification(
            self.y_true[rows], self.probs[rows], self.classes, groups, seed=seed, resamples=resamples
        )


def _pick(values: Sequence[str | None], rows: Ints) -> list[str | None]:
    return [values[int(row)] for row in rows]
