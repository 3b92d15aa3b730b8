"""From a detector's raw answer to boxes on the original image: the one place where this is done.

Training, evaluation, test-time views and `inspect` all call `decode`, so that they find the same boxes.
"""

import numpy as np
from numpy.typing import NDArray

from millscale.core.boxes import clipped, iou_matrix
from millscale.core.errors import ModelError
from millscale.core.types import Boxes
from millscale.imaging.preprocess import Geometry
from millscale.runtime.card import Detection

_CANDIDATES = 1000
"""The strongest that compete; what comes after them is below the hundredth box of any real image."""
_BLOCK = 100
"""Candidates judged at once: few enough that their overlaps stay in the cache."""
_STRONGER = np.triu(np.ones((_BLOCK, _BLOCK), np.bool_), 1)
"""Of a block, which comes before which."""
_LEAST_WEIGHT = 1e-6
"""What a box of score 0 counts in a mean, so that one stands where it stood."""
_ROUNDING = 1e-3
"""How far above 1 or below 0 a score may come to lie by arithmetic."""


def decode(
    boxes: NDArray[np.floating],
    scores: NDArray[np.floating],
    detection: Detection,
    geometry: Geometry,
    size: tuple[int, int],
) -> Boxes:
    """The boxes of one image: strong enough, suppressed class by class, averaged, on the original image.

    An anchor may be found as several classes. Of two equally strong boxes the earlier anchor's comes first, then
    the earlier class's, whatever the machine.

    Args:
        boxes: ``(A, 4)`` left, top, right, bottom in pixels of the tensor.
        scores: ``(A, C)`` in [0, 1].
        detection: of the bundle's card; its thresholds do not matter here.
        geometry: where the original image lies in the tensor.
        size: (height, width) of the original image, which boxes are clipped to.

    Returns:
        At most ``detection.most`` boxes, the strongest first.

    Raises:
        ModelError: shapes that do not fit, or a value that is not finite or no score.
    """
    _check(boxes, scores)
    flat = scores.ravel()
    chosen = _strongest(flat, detection.least_score)
    anchors, classes = np.divmod(chosen, scores.shape[1])
    xyxy = clipped(geometry.to_original(boxes[anchors]), size)
    # What lies in the border of a letterbox alone is nowhere on the image.
    seen = (xyxy[:, 2] > xyxy[:, 0]) & (xyxy[:, 3] > xyxy[:, 1])
    xyxy, classes, found = xyxy[seen], classes[seen], flat[chosen][seen]
    kept = suppress(xyxy, classes, detection.iou, detection.most)
    placed = xyxy[kept]
    if detection.agree is not None and detection.views == 1:  # of several views, fusion takes the mean
        placed = _voted(xyxy, classes, found, kept, detection.agree)
    return Boxes(placed, classes[kept], np.clip(found[kept], 0.0, 1.0).astype(np.float32))


def shifted(boxes: Boxes, shift: tuple[float, float], size: tuple[int, int]) -> Boxes:
    """Found boxes where annotators would have drawn them; see ``Detection.shift``.

    Args:
        boxes: found on an image.
        shift: (x, y) in its pixels, taken off.
        size: its (height, width), which boxes are clipped to.
    """
    if shift == (0.0, 0.0):
        return boxes
    xyxy = clipped(boxes.xyxy - np.array([*shift, *shift], np.float32), size)
    seen = (xyxy[:, 2] > xyxy[:, 0]) & (xyxy[:, 3] > xyxy[:, 1])
    return Boxes(xyxy[seen], boxes.class_id[seen], np.asarray(boxes.score)[seen])


def suppress(xyxy: NDArray[np.float32], classes: NDArray[np.int64], iou: float, most: int) -> NDArray[np.int64]:
    """Rows that survive greedy non-maximum suppression: no stronger survivor of their class overlaps them.

    Args:
        xyxy: ``(N, 4)``, the strongest first.
        classes: ``(N,)``.
        iou: overlap from above which the weaker goes.
        most: survivors wanted; the search ends with them.
    """
    kept = np.zeros(0, np.int64)
    for start in range(0, len(xyxy), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(xyxy)))
        block = block[~_overlapping(xyxy, classes, kept, block, iou).any(0)]
        kept = np.concatenate([kept, block[_survivors(_overlapping(xyxy, classes, block, block, iou))]])
        if len(kept) >= most:
            break
    return kept[:most]


def _voted(
    xyxy: NDArray[np.float32],
    classes: NDArray[np.int64],
    scores: NDArray[np.floating],
    kept: NDArray[np.int64],
    agree: float,
) -> NDArray[np.float32]:
    """Kept boxes ``(K, 4)`` at the mean of the candidates of their class that agree with them, themselves included.

    Box voting (Gidaris & Komodakis, ICCV 2015). Each counts by its score and by how far its overlap exceeds
    ``agree``: what lies on the limit, here within it and there beyond by rounding, counts nothing.
    """
    beyond = np.maximum(iou_matrix(xyxy[kept], xyxy) - agree, 0.0)
    weight = np.where(classes[kept][:, None] == classes, beyond * np.maximum(scores, _LEAST_WEIGHT), 0.0)
    return np.asarray(weight @ xyxy / weight.sum(1, keepdims=True), np.float32)


def _check(boxes: NDArray[np.floating], scores: NDArray[np.floating]) -> None:
    if boxes.ndim != 2 or scores.ndim != 2 or boxes.shape[1] != 4 or len(boxes) != len(scores) or not scores.shape[1]:
        raise ModelError(
            f"Detector: expected boxes (A, 4) and scores (A, C), found {boxes.shape} and {scores.shape}. "
            "Train the bundle anew."
        )
    # Written so that NaN, which compares false, fails; a box of NaN would vanish and its defect pass.
    sound = not len(scores) or (scores.min() >= -_ROUNDING and scores.max() <= 1 + _ROUNDING)
    if not sound or not np.isfinite(boxes).all():
        raise ModelError(
            "Detector: expected finite boxes and scores in [0, 1], found other values. Train the bundle anew."
        )


def _strongest(flat: NDArray[np.floating], least: float) -> NDArray[np.int64]:
    """Positions of the scores that compete, the strongest first, equal ones in order."""
    passing = np.flatnonzero(flat >= least)
    if len(passing) > _CANDIDATES:
        values = flat[passing]
        # A partition alone would pick any of those that tie for the last place.
        passing = passing[values >= np.partition(values, -_CANDIDATES)[-_CANDIDATES]]
    order: NDArray[np.int64] = passing[np.argsort(-flat[passing], kind="stable")][:_CANDIDATES]
    return order


def _overlapping(
    xyxy: NDArray[np.float32],
    classes: NDArray[np.int64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    iou: float,
) -> NDArray[np.bool_]:
    """``(len(first), len(second))``: the two are of one class and overlap by more than ``iou``.

    In place, in float32 and without a division: this is most of the time of `decode`.
    """
    a, b = xyxy[first].T[:, :, None], np.ascontiguousarray(xyxy[second].T)
    shared = np.minimum(a[2], b[2])
    shared -= np.maximum(a[0], b[0])
    np.maximum(shared, 0, out=shared)
    height = np.minimum(a[3], b[3])
    height -= np.maximum(a[1], b[1])
    shared *= height  # a negative height shares no more than none at all
    part = np.float32(iou / (1 + iou))
    enough = part * (a[2] - a[0]) * (a[3] - a[1]) + part * (b[2] - b[0]) * (b[3] - b[1])
    return np.asarray((shared > enough) & (classes[first][:, None] == classes[second]))


def _survivors(overlapping: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``(n,)``: those whom no stronger survivor overlaps.

    Each round settles one more link of every chain "a suppresses b, which else would suppress c", so the fixed point
    is what going through them one by one gives.
    """
    n = len(overlapping)
    stronger = (overlapping & _STRONGER[:n, :n]).astype(np.float32)
    alive = np.ones(n, np.float32)
    while True:
        found = (alive @ stronger == 0).astype(np.float32)
        if (found == alive).all():
            return np.asarray(found > 0)
        alive = found
