"""The same surface in a photograph taken anew: every block finds its own place, and the places fit one map.

A piece laid down once more lies turned by half a degree, or a percent nearer: no offset fits all of it. So blocks of
one picture are looked for in the other, each some pixels around. It is the same surface where the blocks are found
again, and most of them where one affine map takes them: chance finds places too, but in all directions.
"""

from itertools import product

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from millscale.data.audit.keypoints import Field

SIDE = 32
REACH = 5
"""Pixels that a block is looked for to each side; a degree moves the rim of 500 pixels by four."""
MOST_BLOCKS, MIN_BLOCKS = 6, 8
"""Most a side, and fewest of all, with structure."""
MIN_POWER = 0.05
FAR, MAX_FAR = 3, 0.8
"""Most that may be left of a block's correlation ``FAR`` pixels away: a scratch is found anywhere along itself."""
MIN_CORRELATION, MIN_SHARE, TOLERANCE = 0.5, 0.5, 1.5
"""Of the median block; of the blocks that one map takes to their place, give or take so many pixels. Measured: pairs
of one tile 0.7 and more, and 0.58 and more; other pairs 0.3 and less, and 0.33 and less."""

_SHIFTS = np.stack(np.meshgrid(*[np.arange(-REACH, REACH + 1)] * 2, indexing="ij"), -1)


def is_same_surface(x: Field, y: Field) -> bool:
    """Do two band-passed pictures of one size show the same surface, though not pixel for pixel?"""
    found = [block for corner in product(*map(_starts, x.shape)) if (block := _find(x, y, corner)) is not None]
    if len(found) < MIN_BLOCKS:
        return False
    corners, shifts, correlations, distinct = (np.array(column) for column in zip(*found, strict=True))
    return bool(np.median(correlations) >= MIN_CORRELATION and _share(corners, shifts, distinct) >= MIN_SHARE)


def _starts(length: int) -> NDArray[np.intp]:
    room = length - 2 * REACH
    count = min(MOST_BLOCKS, room // SIDE)
    return np.linspace(REACH, max(REACH, length - REACH - SIDE), max(0, count)).astype(np.intp)


def _find(
    x: Field, y: Field, corner: tuple[np.intp, np.intp]
) -> tuple[tuple[np.intp, np.intp], NDArray[np.intp], float, bool] | None:
    """A block's corner, its shift, its correlation there, and whether it fits nowhere else; None without structure."""
    top, left = corner
    block = x[top : top + SIDE, left : left + SIDE]
    around = y[top - REACH : top + SIDE + REACH, left - REACH : left + SIDE + REACH]
    windows = sliding_window_view(around, (SIDE, SIDE))
    powers = np.einsum("abij,abij->ab", windows, windows)
    power = float((block**2).sum())
    if min(power, powers.min()) < MIN_POWER * SIDE**2:
        return None
    correlation = np.einsum("abij,ij->ab", windows, block) / np.sqrt(powers * power)
    best = float(correlation.max())
    shift = _SHIFTS[correlation == best][0]
    far = np.hypot(*np.moveaxis(_SHIFTS - shift, -1, 0)) > FAR
    return corner, shift, best, bool(correlation[far].max() <= MAX_FAR * best)


def _share(corners: NDArray[np.intp], shifts: NDArray[np.intp], distinct: NDArray[np.bool_]) -> float:
    """Of all blocks, how many are distinct and shifted as one affine map says, which those that are determine."""
    terms = np.column_stack([np.ones(len(corners)), corners / SIDE])
    fitting = distinct
    for _ in range(3):
        if fitting.sum() <= terms.shape[1]:
            return 0.0
        affine = np.linalg.lstsq(terms[fitting], shifts[fitting], rcond=None)[0]
        fitting = distinct & (np.abs(terms @ affine - shifts).max(1) <= TOLERANCE)
    return float(fitting.mean())
