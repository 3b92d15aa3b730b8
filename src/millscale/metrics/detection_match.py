"""Which found box belongs to which true one: COCO's greedy rule, for a table at all IoU thresholds at once."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from millscale.core.boxes import area, intersection_matrix, iou_matrix
from millscale.metrics.classification import Floats, Ints

if TYPE_CHECKING:
    from millscale.metrics.detections import DetectionTable

IOU_THRESHOLDS: Floats = np.linspace(0.5, 0.95, 10)
MOST_FOUND = 100
"""COCO's ``maxDets``: found boxes of one class in one image that count, the highest scores first."""

Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ClassMatches:
    """The found boxes of one class over all images, sorted by falling score, and what became of each.

    Attributes:
        image: ``(D,)`` int64 row of the table.
        score: ``(D,)`` float64.
        hit: ``(T, D)`` bool, matched to a true box at each IoU threshold.
        ignored: ``(T, D)`` bool, lies in a ``difficult`` box and counts neither way.
        truths: ``(N,)`` int64, true boxes of each image, ``difficult`` ones left out.
    """

    image: Ints
    score: Floats
    hit: Flags
    ignored: Flags
    truths: Ints


def assign(found: Floats, truth: Floats, difficult: Flags, thresholds: Floats) -> Ints:
    """The index ``(T, D)`` of the true box that each found box takes at each IoU threshold, -1 for none.

    As pycocotools does it: found boxes choose in turn, the best overlap among the true boxes still free, of equal
    ones the last; only where there is none, a ``difficult`` box, which is never used up and whose overlap is the
    share of the FOUND box that lies in it.

    Args:
        found: ``(D, 4)`` by falling score.
        truth: ``(G, 4)``.
        difficult: ``(G,)`` bool.
        thresholds: ``(T,)`` IoU.
    """
    taken = np.full((len(thresholds), len(found)), -1, dtype=np.int64)
    overlap = _overlaps(found, truth, difficult)
    free = np.broadcast_to(~difficult, (len(thresholds), len(truth))).copy()
    every = np.arange(len(thresholds))
    for d in np.flatnonzero(overlap.max(1, initial=0.0) >= thresholds.min()):
        choice, best = _last_best(np.where(free, overlap[d], -1.0))
        spare, spare_best = _last_best(np.where(difficult, overlap[d], -1.0)[None])
        hit = best >= thresholds
        taken[:, d] = np.where(hit, choice, np.where(spare_best >= thresholds, spare, -1))
        free[every[hit], choice[hit]] = False
    return taken


def _overlaps(found: Floats, truth: Floats, difficult: Flags) -> Floats:
    """IoU ``(D, G)``; for a ``difficult`` column the share of the found box inside it."""
    own = area(found)[:, None]
    inside = np.divide(intersection_matrix(found, truth), own, out=np.zeros((len(found), len(truth))), where=own > 0)
    return np.where(difficult, inside, iou_matrix(found, truth))


def _last_best(values: Floats) -> tuple[Ints, Floats]:
    """Of each row ``(…, G)`` the index of the largest value, of equal ones the last, and the value."""
    index = values.shape[-1] - 1 - values[..., ::-1].argmax(-1)
    return np.asarray(index), np.take_along_axis(values, index[..., None], -1)[..., 0]


def class_matches(table: "DetectionTable", index: int, thresholds: Floats = IOU_THRESHOLDS) -> ClassMatches:
    """The matches of class ``index`` at each IoU threshold ``(T,)``, image by image."""
    rows = [_image_matches(table, row, index, thresholds) for row in range(len(table))]
    score = np.concatenate([part.score for part in rows])
    order = np.argsort(-score, kind="stable")
    return ClassMatches(
        image=np.concatenate([part.image for part in rows])[order],
        score=score[order],
        hit=np.concatenate([part.hit for part in rows], axis=1)[:, order],
        ignored=np.concatenate([part.ignored for part in rows], axis=1)[:, order],
        truths=np.concatenate([part.truths for part in rows]),
    )


def _image_matches(table: "DetectionTable", row: int, index: int, thresholds: Floats) -> ClassMatches:
    truth, found = table.truth[row], table.found[row]
    drawn, mine = truth.class_id == index, np.flatnonzero(found.class_id == index)
    difficult = np.asarray(truth.difficult, np.bool_)[drawn]
    score = np.asarray(found.score, np.float64)[mine]
    order = np.argsort(-score, kind="stable")[:MOST_FOUND]
    boxes, edges = found.xyxy[mine[order]].astype(np.float64), truth.xyxy[drawn].astype(np.float64)
    taken = assign(boxes, edges, difficult, thresholds)
    ignored = (taken >= 0) & np.append(difficult, False)[taken]
    return ClassMatches(
        image=np.full(len(order), row, dtype=np.int64),
        score=score[order],
        hit=(taken >= 0) & ~ignored,
        ignored=ignored,
        truths=np.array([int((~difficult).sum())], dtype=np.int64),
    )
