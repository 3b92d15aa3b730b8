"""From pixel masks to boxes: connected components by runs of pixels, in numpy alone.

Every row is cut into runs of foreground; runs of neighbouring rows that touch belong together; labels spread along
these links until nothing changes (He et al., Connected-component labeling: a review, Pattern Recognition 70 (2017),
section 3.3, with the union of equivalent labels by pointer jumping).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import DataError
from millscale.core.types import Image

THRESHOLD = 127
"""A pixel above it is foreground, for masks saved as JPEG or resized are not binary; but where a mask has nothing
brighter, its pixels hold the numbers or the colours of kinds of defects, as those of VisA."""


def foreground(mask: NDArray[np.bool_] | Image) -> NDArray[np.bool_]:
    """``(H, W)`` which pixels of a mask are defective.

    Args:
        mask: ``(H, W)`` bool; or ``(H, W)`` or ``(H, W, 3)`` uint8: a pixel is foreground above 127 in its brightest
            channel; where the mask has no pixel above 127, wherever it is not 0.
    """
    if mask.dtype == np.bool_:
        return np.asarray(mask, np.bool_)
    grey = mask if mask.ndim == 2 else mask.max(2)
    return np.asarray(grey > (THRESHOLD if grey.max(initial=0) > THRESHOLD else 0), np.bool_)


def boxes_of_mask(mask: NDArray[np.bool_] | NDArray[np.uint8], min_area: int = 1) -> NDArray[np.float32]:
    """Boxes around the connected parts of a mask; pixels that touch at a corner are connected.

    Args:
        mask: ``(H, W)``; bool, or uint8 as `foreground` takes it.
        min_area: parts of fewer pixels are left out.

    Returns:
        ``(N, 4)`` float32 half-open pixels left, top, right, bottom, in the order of each part's first pixel.

    Raises:
        DataError: not two-dimensional.
    """
    return parts_of_mask(mask, min_area)[0]


def parts_of_mask(
    mask: NDArray[np.bool_] | NDArray[np.uint8], min_area: int = 1
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """What `boxes_of_mask` gives, and ``(N,)`` how many pixels each part has."""
    runs = _runs_of(_plane(mask))
    parts, owner = np.unique(_components(runs), return_inverse=True)
    boxes = _extents(runs, owner, len(parts))
    areas = np.bincount(owner, weights=runs.end - runs.start, minlength=len(parts)).astype(np.float64)
    kept = areas >= min_area
    return boxes[kept], areas[kept]


def regions_of_mask(mask: NDArray[np.bool_] | NDArray[np.uint8]) -> NDArray[np.int64]:
    """Which connected part each foreground pixel belongs to; pixels that touch at a corner are connected.

    Args:
        mask: ``(H, W)``; bool, or uint8 as `foreground` takes it.

    Returns:
        ``(P,)`` int64 numbers of parts from 0, in the order of each part's first pixel, for the P foreground pixels
        row by row: for a bool mask those of ``image[mask]``.

    Raises:
        DataError: not two-dimensional.
    """
    runs = _runs_of(_plane(mask))
    owner = np.unique(_components(runs), return_inverse=True)[1]
    return np.repeat(owner, runs.end - runs.start).astype(np.int64)


def _plane(mask: NDArray[np.bool_] | NDArray[np.uint8]) -> NDArray[np.bool_]:
    if mask.ndim != 2:
        raise DataError(f"Expected a mask of height x width, found {mask.ndim} dimensions. Use one channel.")
    return foreground(mask)


@dataclass(frozen=True)
class _Runs:
    """Runs of foreground by row, then column: pixels ``start`` to ``end`` (exclusive) of ``row``; ``(R,)`` int64."""

    row: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]


def _runs_of(foreground: NDArray[np.bool_]) -> _Runs:
    height, width = foreground.shape
    padded = np.zeros((height, width + 2), np.int8)
    padded[:, 1:-1] = foreground
    row, edge = np.nonzero(np.diff(padded, axis=1))
    return _Runs(row[::2], edge[::2], edge[1::2])


def _links(runs: _Runs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """``(L,)`` and ``(L,)``: indices of runs that touch, each with one of the row below it."""
    stride = int(runs.end.max(initial=0)) + 2
    below = (runs.row + 1) * stride
    first = np.searchsorted(runs.row * stride + runs.end, below + runs.start, side="left")
    last = np.searchsorted(runs.row * stride + runs.start, below + runs.end, side="right")
    counts = np.maximum(last - first, 0)
    upper = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(upper)) - np.repeat(np.cumsum(counts) - counts, counts)
    return upper, np.repeat(first, counts) + within


def _components(runs: _Runs) -> NDArray[np.int64]:
    """``(R,)`` for each run the smallest index of a run that it is connected with."""
    labels = np.arange(len(runs.row))
    upper, lower = _links(runs)
    while len(upper) and (labels[upper] != labels[lower]).any():
        a, b = labels[upper], labels[lower]
        np.minimum.at(labels, np.maximum(a, b), np.minimum(a, b))
        while (labels[labels] != labels).any():
            labels = labels[labels]
    return labels


def _extents(runs: _Runs, owner: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    boxes = np.empty((count, 4), np.int64)
    boxes[:, :2], boxes[:, 2:] = np.iinfo(np.int64).max, 0
    np.minimum.at(boxes[:, 0], owner, runs.start)
    np.minimum.at(boxes[:, 1], owner, runs.row)
    np.maximum.at(boxes[:, 2], owner, runs.end)
    np.maximum.at(boxes[:, 3], owner, runs.row + 1)
    return boxes.astype(np.float32)
