"""What was found in windows that overlap, as what the whole picture shows.

Two windows see the same pixels where they overlap: boxes that agree there are one defect, whether both windows show all
of it, or the border of one or of both cuts it. Each side of it comes from the window that sees furthest there.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from millscale.core.boxes import iou_matrix
from millscale.core.types import Boxes
from millscale.imaging.tiling import Window
from millscale.runtime.card import Detection
from millscale.runtime.detect import suppress

_SAME = 0.5
"""Overlap, within what two windows share, from above which two boxes are one."""

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


def united(found: Sequence[Boxes], windows: Sequence[Window], detection: Detection) -> Boxes:
    """The boxes of a picture from those of its windows, class by class, the strongest first.

    A defect scores as its strongest box. What remains is suppressed as within one picture.

    Args:
        found: of each window, in pixels from its upper left corner.
        windows: where they lie on the picture.
        detection: of the bundle's card.

    Returns:
        At most ``detection.most`` boxes, in pixels of the picture.
    """
    corners = np.array(windows, np.float64).reshape(-1, 4)
    home = np.repeat(np.arange(len(windows)), [len(boxes) for boxes in found])
    score = np.concatenate([np.zeros(0, np.float32), *(np.asarray(boxes.score) for boxes in found)])
    classes = np.concatenate([np.zeros(0, np.int64), *(boxes.class_id for boxes in found)])
    placed = np.concatenate([np.zeros((0, 4)), *(boxes.xyxy for boxes in found)]) + corners[home][:, [0, 1, 0, 1]]
    xyxy = _within(placed, corners[home])  # a window that the picture does not fill ends where the picture does
    order = np.lexsort((home, -score))
    order = order[_lengths(xyxy[order]).min(1, initial=np.inf) > 0]
    xyxy, score, classes, home = xyxy[order], score[order], classes[order], home[order]
    defects = _defects(xyxy, classes, home, corners)
    whole = np.array([_whole(xyxy[rows], corners[home[rows]]) for rows in defects], np.float32).reshape(-1, 4)
    first = np.array([rows[0] for rows in defects], np.int64)
    kept = suppress(whole, classes[first], detection.iou, detection.most)
    return Boxes(whole[kept], classes[first][kept], score[first][kept])


def _defects(xyxy: Floats, classes: Rows, home: Rows, corners: Floats) -> list[Rows]:
    """The rows of each defect, the strongest first, the defects in the order of their strongest."""
    name = np.arange(len(xyxy))
    for one, other in _same(xyxy, classes, home, corners):
        low, high = sorted((name[one], name[other]))
        name[name == high] = low
    return [np.flatnonzero(name == first) for first in np.unique(name)]


def _same(xyxy: Floats, classes: Rows, home: Rows, corners: Floats) -> Iterator[tuple[int, int]]:
    """Pairs of rows of different windows that are one defect: each is the strongest that agrees with the other."""
    for a, b in combinations(np.unique(home), 2):
        low, high = np.maximum(corners[a, :2], corners[b, :2]), np.minimum(corners[a, 2:], corners[b, 2:])
        if not (high > low).all():
            continue
        shared = np.concatenate([low, high])
        first, second = np.flatnonzero(home == a), np.flatnonzero(home == b)
        agree = iou_matrix(_within(xyxy[first], shared), _within(xyxy[second], shared)) > _SAME
        agree &= classes[first][:, None] == classes[second]
        if not agree.any():
            continue
        for i, j in enumerate(agree.argmax(1)):  # rows come the strongest first
            if agree[i, j] and agree[:, j].argmax() == i:
                yield int(first[i]), int(second[j])


def _whole(xyxy: Floats, corners: Floats) -> Floats:
    """The box ``(4,)`` of a defect from its boxes ``(K, 4)`` in windows ``(K, 4)``, the strongest first."""
    furthest = np.concatenate([corners[:, :2].argmin(0), corners[:, 2:].argmax(0)])
    box = xyxy[furthest, np.arange(4)]
    return np.asarray(box if (box[2:] > box[:2]).all() else xyxy[0])  # a chain of boxes may contradict itself


def _within(xyxy: Floats, limits: Floats) -> Floats:
    """Boxes cut to a box, or each to its own; one that lies outside becomes empty."""
    low, high = limits[..., [0, 1, 0, 1]], limits[..., [2, 3, 2, 3]]
    return np.clip(xyxy, low, high)


def _lengths(xyxy: Floats) -> Floats:
    return xyxy[:, 2:] - xyxy[:, :2]
