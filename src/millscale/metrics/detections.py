"""What a detector's report is made from: one row per image, and nothing of the model that made it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import DataError
from millscale.core.types import Boxes
from millscale.metrics.detection import DetectionMetrics, evaluate_detection


@dataclass(frozen=True, eq=False)
class DetectionTable:
    """Boxes that one detector found, one row per image, each by a model that did not train on it.

    Attributes:
        ids: N image ids, unique.
        paths: N image files.
        sizes: N (height, width) in pixels.
        classes: C class names, what ``class_id`` of all boxes indexes.
        truth: N annotations; an image without any defect has an empty one. Leave out images not annotated.
        found: N times what the detector found: after suppression, scores from .001 up, at most 100 an image.
        groups: N group names (None for an image that stands alone), or None where groups are unknown.
        fold: ``(N,)`` int, the fold that held the image out, or None.

    Raises:
        DataError: no image, a part of another length, an id that stands twice, a box that is no box, a class
            index or a score outside its range.
    """

    ids: tuple[str, ...]
    paths: tuple[Path, ...]
    sizes: tuple[tuple[int, int], ...]
    classes: tuple[str, ...]
    truth: tuple[Boxes, ...]
    found: tuple[Boxes, ...]
    groups: tuple[str | None, ...] | None = None
    fold: NDArray[np.integer] | None = None

    def __post_init__(self) -> None:
        if not self.ids or not self.classes:
            raise DataError(
                f"Expected at least one annotated image and one class, found {len(self.ids)} and "
                f"{len(self.classes)}; add images with boxes."
            )
        self._check_lengths()
        if len(set(self.ids)) != len(self.ids):
            raise DataError(f"Expected {len(self.ids)} unique ids, found {len(set(self.ids))}; keep one row per image.")
        for name, boxes in (("truth", self.truth), ("found", self.found)):
            _check_boxes(name, boxes, self.ids, len(self.classes))

    def _check_lengths(self) -> None:
        parts: dict[str, Sequence[object] | NDArray[np.integer] | None] = {
            name: getattr(self, name) for name in ("paths", "sizes", "truth", "found", "groups", "fold")
        }
        wrong = {name: len(part) for name, part in parts.items() if part is not None and len(part) != len(self.ids)}
        if wrong:
            raise DataError(
                f"Expected one row for each of {len(self.ids)} ids, found {wrong}; pass the rows of one run."
            )

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, chosen: NDArray[np.bool_]) -> "DetectionTable":
        """The rows where ``chosen (N,)`` holds; at least one."""
        rows = np.flatnonzero(chosen).tolist()
        names = ("ids", "paths", "sizes", "truth", "found", *(() if self.groups is None else ("groups",)))
        parts: dict[str, Any] = {name: tuple(getattr(self, name)[row] for row in rows) for name in names}
        return replace(self, **parts, fold=None if self.fold is None else self.fold[rows])

    def evaluate(
        self,
        *,
        thresholds: Mapping[str, float],
        limits: NDArray[np.float64] | None = None,
        seed: int = 0,
        resamples: int = 1000,
    ) -> DetectionMetrics:
        """Every number of the table, see :func:`millscale.metrics.detection.evaluate_detection`.

        Args:
            thresholds: the least score of each class at which a box counts in operation. They must come from
                other images than these (``choose_thresholds`` on out-of-fold boxes), or from the bundle's card.
            limits: ``(N, C)`` what each image is judged at instead, where ``thresholds`` were chosen on these very
                images (``crossfit_thresholds``).
            seed: of the bootstrap over groups.
            resamples: number of draws.

        Raises:
            DataError: a class without threshold.
            UsageError: faster-coco-eval is not installed.
        """
        return evaluate_detection(self, thresholds=thresholds, limits=limits, seed=seed, resamples=resamples)


def _check_boxes(name: str, rows: Sequence[Boxes], ids: Sequence[str], classes: int) -> None:
    for image, boxes in zip(ids, rows, strict=True):
        xyxy, score = boxes.xyxy, boxes.score
        inverted = (xyxy[:, :2] > xyxy[:, 2:]).any() or not np.isfinite(xyxy).all()
        if inverted or (score is not None and not ((score >= 0) & (score <= 1)).all()):
            raise DataError(
                f"{image}: expected {name} boxes left, top, right, bottom of finite pixels with scores in [0, 1], "
                f"found {_first_rows(boxes)}; correct or remove them."
            )
        if len(boxes) and not ((boxes.class_id >= 0) & (boxes.class_id < classes)).all():
            raise DataError(
                f"{image}: expected {name} classes in [0, {classes}), found {boxes.class_id.tolist()[:9]}; "
                "map the names to the table's classes."
            )


def _first_rows(boxes: Boxes) -> str:
    score = np.zeros(0) if boxes.score is None else boxes.score
    return f"{boxes.xyxy[:3].tolist()} with scores {score[:3].tolist()}"
