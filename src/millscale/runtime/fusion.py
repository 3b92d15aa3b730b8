"""Weighted box fusion: what several detectors, or one on several views, found, as one answer.

Solovyev, Wang and Gabruseva, "Weighted boxes fusion: Ensembling boxes from different object detection models", 2021.
Where suppression keeps the strongest of many boxes, fusion takes their mean, weighted by how sure each was, and
lowers the score of what few have seen. Detectors of different kinds score unlike: before, their scores can be brought
to one scale, rank by rank, which needs no annotation (quantile normalisation: Bolstad, Irizarry, Astrand and Speed, "A
comparison of normalization methods for high density oligonucleotide array data based on variance and bias", 2003).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from millscale.core.types import Boxes

IOU, AGREE = 0.55, 0.65
"""Overlap from above which two boxes are one: the paper's, and what new cards hold. With the latter, eight views of
ten detectors, on images held out to choose it, won .7 to 1.9 points of mAP50-95 for -1.1 to +.3 of mAP50."""

Floats = NDArray[np.float64]
Scale = Sequence[tuple[float, float]]
"""Points (a detector's own score, the common one) that rise from (0, 0) to an own score of 1; between them lines."""
_POINTS = 32
"""Of a scale: enough to follow a curve, few enough to read in a card."""


def fuse(
    found: Sequence[Boxes],
    weights: Sequence[float] | None = None,
    *,
    iou: float = IOU,
    least_score: float = 0.0,
    most: int | None = None,
) -> Boxes:
    """The boxes of several detectors on one image as one answer, class by class.

    From the strongest down, each box joins the fused box that it overlaps most, if by more than ``iou``, else it
    founds one. A fused box stands at the mean of its members, each counted by its score; its score is the members'
    mean, times T / N where only T of N detectors contribute (equation 5, with T and N as sums of weights).

    Args:
        found: of each detector, in pixels of the same image.
        weights: of each, > 0; by default all equal. A detector of weight 2 counts as two that agree.
        iou: overlap from above which two boxes of a class are one.
        least_score: fused boxes below it are dropped, and so are those of score 0.
        most: fused boxes kept; None keeps all.

    Returns:
        The fused boxes, the strongest first; equally strong ones in the order of their classes.
    """
    shares = np.ones(len(found)) if weights is None else np.asarray(weights, np.float64)
    trust = np.repeat(shares, [len(boxes) for boxes in found])
    xyxy, score, classes = _joined(found)
    clusters = [
        members
        for name in np.unique(classes)
        for members in _clusters(xyxy, score * trust, np.flatnonzero((classes == name) & (score > 0)), iou)
    ]
    corners = np.array([_mean(xyxy[members], (score * trust)[members]) for members in clusters])
    strength = np.array([_strength(score[members], trust[members], shares.sum()) for members in clusters])
    rows = np.argsort(-strength, kind="stable")
    rows = rows[strength[rows] >= least_score][:most]
    return Boxes(
        corners.reshape(-1, 4)[rows].astype(np.float32),
        np.array([classes[members[0]] for members in clusters], np.int64)[rows],
        strength[rows].astype(np.float32),
    )


def common_scales(scores: Sequence[NDArray[np.floating]]) -> tuple[Scale, ...]:
    """What brings the scores of several detectors to one scale: the k-th strongest boxes of all become equally strong.

    A common score is the mean of what the detectors give to their k-th strongest box. How good a detector is cannot be
    told so: that is for weights to say.

    Args:
        scores: of each detector, of all boxes that it found on the same images.

    Returns:
        The scale of each detector, for :func:`rescaled`.
    """
    falling = [np.sort(np.asarray(own, np.float64))[::-1] for own in scores]
    least = min(map(len, falling))
    ranks = np.unique(np.geomspace(1, max(least, 1), _POINTS).round().astype(np.int64))[:least] - 1
    common = np.mean([own[ranks] for own in falling], 0)
    return tuple(_scale(own[ranks], common) for own in falling)


def _scale(own: Floats, common: Floats) -> Scale:
    places = np.unique(own.round(4), return_inverse=True)
    found = zip(places[0], np.bincount(places[1], common) / np.bincount(places[1]), strict=True)
    points = [(0.0, 0.0), *((float(x), round(float(y), 4)) for x, y in found if x > 0)]
    return points if points[-1][0] == 1 else [*points, (1.0, 1.0)]


def rescaled(boxes: Boxes, scale: Scale) -> Boxes:
    """The boxes with their scores on another scale."""
    own, common = zip(*scale, strict=True)
    return replace(boxes, score=np.interp(np.asarray(boxes.score), own, common).astype(np.float32))


def _joined(found: Sequence[Boxes]) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """``(N, 4)``, ``(N,)`` and ``(N,)`` of all boxes, in order."""
    scores = [boxes.score for boxes in found if boxes.score is not None]
    return (
        np.concatenate([np.zeros((0, 4)), *(boxes.xyxy for boxes in found)]),
        np.concatenate([np.zeros(0), *scores]),
        np.concatenate([np.zeros(0, np.int64), *(boxes.class_id for boxes in found)]),
    )


def _clusters(xyxy: Floats, score: Floats, rows: NDArray[np.int64], iou: float) -> list[list[int]]:
    """The members of each fused box, the strongest first, of ``rows``, which are of one class."""
    members: list[list[int]] = []
    fused = np.zeros((len(rows), 4))
    for row in rows[np.argsort(-score[rows], kind="stable")]:
        overlaps = _overlaps(xyxy[row], fused[: len(members)])
        place = int(overlaps.argmax()) if len(overlaps) else -1
        if place < 0 or overlaps[place] <= iou:
            place = len(members)
            members.append([])
        members[place].append(int(row))
        fused[place] = _mean(xyxy[members[place]], score[members[place]])
    return members


def _overlaps(box: Floats, others: Floats) -> Floats:
    """IoU ``(N,)`` of one box with ``(N, 4)`` others."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    common = np.maximum(sides[:, 0], 0) * np.maximum(sides[:, 1], 0)
    areas = (others[:, 2] - others[:, 0]) * (others[:, 3] - others[:, 1])
    union = (box[2] - box[0]) * (box[3] - box[1]) + areas - common
    return np.asarray(common / np.maximum(union, np.finfo(np.float64).tiny))


def _mean(xyxy: Floats, weight: Floats) -> Floats:
    """Equations 2 to 4: the mean box ``(4,)`` of ``(T, 4)``."""
    return np.asarray(weight @ xyxy / weight.sum())


def _strength(score: Floats, trust: Floats, total: float) -> float:
    """Equations 1 and 5. The bound keeps a detector that gave several boxes to one from counting more than once."""
    return float(score @ trust / max(float(trust.sum()), total))
