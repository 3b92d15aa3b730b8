"""Areas and overlaps of axis-aligned boxes ``left, top, right, bottom`` in half-open pixels.

Everything is computed in float64: coordinates are float32, whose differences and products are then exact, so an
overlap that stands on a threshold falls on the same side here, in pycocotools and in every later run.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def area(xyxy: ArrayLike) -> Floats:
    """Areas ``(N,)`` in square pixels of boxes ``(N, 4)``; 0 for an empty or inverted box."""
    boxes = _as_boxes(xyxy)
    return np.asarray(np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0).prod(1))


def intersection_matrix(a: ArrayLike, b: ArrayLike) -> Floats:
    """Common areas ``(N, M)`` in square pixels of boxes ``(N, 4)`` and ``(M, 4)``."""
    first, second = _as_boxes(a).T[:, :, None], _as_boxes(b).T[:, None]
    # A coordinate at a time: an axis of two or four beside the matrix takes five times as long.
    wide, high = (np.minimum(first[k + 2], second[k + 2]) - np.maximum(first[k], second[k]) for k in (0, 1))
    return np.asarray(np.maximum(wide, 0.0) * np.maximum(high, 0.0))


def iou_matrix(a: ArrayLike, b: ArrayLike) -> Floats:
    """Intersection over union ``(N, M)`` in [0, 1] of boxes ``(N, 4)`` and ``(M, 4)``; 0 where both are empty."""
    common = intersection_matrix(a, b)
    union = area(a)[:, None] + area(b)[None] - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def clipped(xyxy: ArrayLike, size: tuple[int, int]) -> NDArray[np.float32]:
    """Boxes ``(N, 4)`` cut to an image of ``size`` (height, width); one wholly outside becomes empty."""
    height, width = size
    limits = np.array([width, height, width, height], np.float32)
    return np.clip(np.asarray(xyxy, np.float32).reshape(-1, 4), np.float32(0), limits)


def _as_boxes(xyxy: ArrayLike) -> Floats:
    return np.asarray(xyxy, dtype=np.float64).reshape(-1, 4)
