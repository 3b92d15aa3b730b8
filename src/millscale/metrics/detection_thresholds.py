"""The operating threshold of each class, chosen where it may be chosen: never on the images it is judged by."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from millscale.metrics.bootstrap import group_index
from millscale.metrics.classification import Floats
from millscale.metrics.detection_match import ClassMatches, class_matches
from millscale.metrics.detection_rates import MATCH_IOU

if TYPE_CHECKING:
    from millscale.metrics.detections import DetectionTable

UNSEEN = 0.5
"""The threshold of a class of which no box was drawn, or none was found rightly: nothing can choose it."""


def choose_thresholds(table: "DetectionTable") -> dict[str, float]:
    """For each class the least score that maximises F1 of its boxes at IoU .5; of equal ones the highest.

    A threshold stands halfway between the last score let in and the first kept out, so that rounding of scores
    by another runtime moves no box across it.

    Args:
        table: out-of-fold or validation boxes, NOT those that will be reported.
    """
    at = np.array([MATCH_IOU])
    return {name: _best_f1(class_matches(table, index, at)) for index, name in enumerate(table.classes)}


def crossfit_thresholds(table: "DetectionTable", *, parts: int = 5, seed: int = 0) -> Floats:
    """Thresholds ``(N, C)`` for each image, chosen as by :func:`choose_thresholds` on images of other groups alone.

    The groups are dealt into parts; each part's thresholds come from all the others. So boxes that no model saw in
    training can both choose an operating point and be judged at one, and no image has a say in its own.

    Args:
        table: out-of-fold boxes.
        parts: how many, fewer where there are fewer groups.
        seed: of the deal.
    """
    group = group_index(table.groups, len(table))
    groups = int(group.max()) + 1
    part = (np.random.default_rng(seed).permutation(groups) % min(parts, groups))[group]
    at, limits = np.array([MATCH_IOU]), np.empty((len(table), len(table.classes)))
    for index in range(len(table.classes)):
        matches = class_matches(table, index, at)
        for held in np.unique(part):
            limits[part == held, index] = _best_f1(_of_images(matches, part != held))
    return limits


def _of_images(matches: ClassMatches, chosen: NDArray[np.bool_]) -> ClassMatches:
    """The matches in the images ``chosen`` ``(N,)``; the others have no boxes."""
    kept = chosen[matches.image]
    return ClassMatches(
        image=matches.image[kept],
        score=matches.score[kept],
        hit=matches.hit[:, kept],
        ignored=matches.ignored[:, kept],
        truths=np.where(chosen, matches.truths, 0),
    )


def _best_f1(matches: ClassMatches) -> float:
    truths = int(matches.truths.sum())
    if not truths:
        return UNSEEN
    counted = ~matches.ignored[0]
    f1 = 2 * matches.hit[0].cumsum() / (truths + counted.cumsum())
    return _between(matches.score, f1)


def _between(score: Floats, f1: Floats) -> float:
    """Halfway below the score ``(D,)`` where ``f1`` ``(D,)`` of all boxes down to it is largest."""
    last = np.append(score[1:] < score[:-1], True)[: len(score)]
    ends = np.flatnonzero(last)
    if not len(ends) or f1[ends].max() == 0:
        return UNSEEN
    end = int(ends[f1[ends].argmax()])
    below = score[end + 1] if end + 1 < len(score) else 0.0
    return float((score[end] + below) / 2)
