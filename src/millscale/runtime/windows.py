"""What was found in windows that overlap, as what the whole picture shows.

Two windows see the same pixels where they overlap: boxes that agree there are one defect, whether both windows show all
of it, or the border of one or of both cuts it. A sloping scratch fills its box nowhere, so that its pieces agree less:
what is left over is one defect where pieces meet that borders cut there, or one lies in a box that is whole. Each
side of a defect comes from the window that sees furthest.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from millscale.core.boxes import area, intersection_matrix, iou_matrix
from millscale.core.types import Boxes
from millscale.imaging.tiling import Window
from millscale.runtime.card import MOST, Detection
from millscale.runtime.detect import suppress

_SAME, _MEETING, _WITHIN = 0.5, 0.3, 0.9
"""Within what two windows share: the overlap from above which two boxes are one; the share of the smaller of two pieces
that lies in the other where borders cut both, and of a piece where they cut it alone."""
_HEARD, _AS_SURE = 0.3, 0.9
"""Scores, as a share of the strongest: of a box that has a say in where a defect ends, and of one that is as sure."""
_AT_BORDER = 0.02
"""How far from its window's border a box may end that the border cuts, as a share of the window's side."""

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Cut = NDArray[np.bool_]


def united(found: Sequence[Boxes], windows: Sequence[Window], detection: Detection) -> Boxes:
    """The boxes of a picture from those of its windows, class by class, the strongest first.

    A defect scores as its strongest box. What remains is suppressed as within one picture.

    Args:
        found: of each window, in pixels from its upper left corner.
        windows: where they lie on the picture.
        detection: of the bundle's card.

    Returns:
        Boxes in pixels of the picture, at most ``detection.most`` for each window, and ``MOST``.
    """
    corners = np.array(windows, np.float64).reshape(-1, 4)
    home = np.repeat(np.arange(len(windows)), [len(boxes) for boxes in found])
    score = np.concatenate([np.zeros(0, np.float32), *(np.asarray(boxes.score) for boxes in found)])
    classes = np.concatenate([np.zeros(0, np.int64), *(boxes.class_id for boxes in found)])
    placed = np.concatenate([np.zeros((0, 4)), *(boxes.xyxy for boxes in found)]) + corners[home][:, [0, 1, 0, 1]]
    xyxy = _within(placed, corners[home])  # a window that the picture does not fill ends where the picture does
    order = np.argsort(-score, kind="stable")
    order = order[(xyxy[order, 2:] > xyxy[order, :2]).all(1)]
    xyxy, score, classes, home = xyxy[order], score[order], classes[order], home[order]
    defects = _defects(xyxy, classes, home, corners)
    whole = np.array([_whole(xyxy[rows], score[rows], corners[home[rows]]) for rows in defects], np.float32).reshape(
        -1, 4
    )
    first = np.array([rows[0] for rows in defects], np.int64)
    kept = suppress(whole, classes[first], detection.iou, min(detection.most * len(windows), MOST))
    return Boxes(whole[kept], classes[first][kept], score[first][kept])


def _defects(xyxy: Floats, classes: Rows, home: Rows, corners: Floats) -> list[Rows]:
    """The rows of each defect, the strongest first, the defects in the order of their strongest."""
    name = np.arange(len(xyxy))
    for one, other in _same(xyxy, classes, home, corners):
        low, high = sorted((name[one], name[other]))
        name[name == high] = low
    order = np.argsort(name, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(name[order])) + 1) if len(order) else []


def _same(xyxy: Floats, classes: Rows, home: Rows, corners: Floats) -> Iterator[tuple[int, int]]:
    """Pairs of rows of different windows that are one defect: each is the strongest that agrees with the other."""
    rows = {int(window): np.flatnonzero(home == window) for window in np.unique(home)}
    sides = (corners[home, 2:] - corners[home, :2]).max(1, keepdims=True, initial=0)
    near = np.abs(xyxy - corners[home]) <= _AT_BORDER * sides
    for a, b in _overlapping(corners, list(rows)):
        low, high = np.maximum(corners[a, :2], corners[b, :2]), np.minimum(corners[a, 2:], corners[b, 2:])
        shared = np.concatenate([low, high])
        first, second = rows[a], rows[b]
        one, other = _within(xyxy[first], shared), _within(xyxy[second], shared)
        alike = classes[first][:, None] == classes[second]
        agree = (iou_matrix(one, other) > _SAME) & alike
        common, sizes = intersection_matrix(one, other), (area(one)[:, None], area(other)[None])
        cut = (near[first] & _ends_inside(corners[a], corners[b])).any(1)[:, None]
        cut_too = (near[second] & _ends_inside(corners[b], corners[a])).any(1)[None]
        piece = (common > _MEETING * np.minimum(*sizes)) & cut & cut_too
        piece |= (common > _WITHIN * sizes[0]) & cut | (common > _WITHIN * sizes[1]) & cut_too
        agree |= piece & alike & ~agree.any(1)[:, None] & ~agree.any(0)
        for i, j in enumerate(agree.argmax(1)):  # rows come the strongest first
            if agree[i, j] and agree[:, j].argmax() == i:
                yield int(first[i]), int(second[j])


def _overlapping(corners: Floats, windows: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Pairs of windows that share pixels, each once."""
    for place, a in enumerate(windows):
        later = np.array(windows[place + 1 :], np.int64)
        shared = np.minimum(corners[a, 2:], corners[later, 2:]) - np.maximum(corners[a, :2], corners[later, :2])
        yield from ((a, int(b)) for b in later[(shared > 0).all(1)])


def _ends_inside(window: Floats, other: Floats) -> Cut:
    """``(4,)`` left, top, right, bottom: this border of a window does not reach that of the other."""
    return np.concatenate([window[:2] > other[:2], window[2:] < other[2:]])


def _whole(xyxy: Floats, score: NDArray[np.float32], corners: Floats) -> Floats:
    """The box ``(4,)`` of a defect from its boxes ``(K, 4)`` in windows ``(K, 4)``, the strongest first.

    Of windows that see equally far, the strongest box tells where a side lies, or the outermost of those that are
    about as sure. Weak boxes have no say.
    """
    heard = score >= _HEARD * score[0]
    xyxy, score, corners = xyxy[heard], score[heard], corners[heard]
    sides = []
    for side, outermost in enumerate((np.min, np.min, np.max, np.max)):
        furthest = corners[:, side] == outermost(corners[:, side])
        sure = furthest & (score >= _AS_SURE * score[furthest][0])
        sides.append(outermost(xyxy[sure, side]))
    box = np.array(sides)
    return box if (box[2:] > box[:2]).all() else np.asarray(xyxy[0])  # a chain of boxes may contradict itself


def _within(xyxy: Floats, limits: Floats) -> Floats:
    """Boxes cut to a box, or each to its own; one that lies outside becomes empty."""
    return np.clip(xyxy, limits[..., [0, 1, 0, 1]], limits[..., [2, 3, 2, 3]])
