"""Heat maps out of masks and what remained under them."""

from collections.abc import Iterable
from math import ceil

import numpy as np
import PIL.Image
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_LONGEST = 512
"""Pixels along the longer side of a map while it is made; a cell of the masks is many times larger than one of them."""


def heat_maps(masks: Iterable[Floats], remains: NDArray[np.float64], size: tuple[int, int]) -> Floats:
    """How much more of a target remains where a pixel is seen than where it is hidden, scaled to [0, 1].

    RISE (Petsiuk et al. 2018, equation 6) is the mean of what remains, weighted by the masks. Because the masks come in
    opposite pairs, the mean over the hidden pixels can be taken off, which leaves the place's own part.

    Args:
        masks: N of ``(H, W)`` in [0, 1], in opposite pairs.
        remains: ``(N, T)``, what remained of each target under each mask.
        size: (H, W).

    Returns:
        ``(T, h, w)`` float32, a pixel for each of the image, or for one of many where it is longer than 512; see
        `enlarged`. All zero where nothing that was hidden made a difference.
    """
    step = ceil(max(size) / _LONGEST)
    rows, columns = (slice(min(step // 2, side - 1), side, step) for side in size)
    height, width = (len(range(side)[chosen]) for side, chosen in zip(size, (rows, columns), strict=True))
    sums = np.zeros((remains.shape[1], height, width), np.float64)
    for mask, row in zip(masks, remains, strict=True):
        seen = 2 * mask[rows, columns] - 1
        for place in np.flatnonzero(row):
            sums[place] += row[place] * seen
    return np.stack([_scaled(one, len(remains)) for one in sums])


def enlarged(heat: Floats, size: tuple[int, int]) -> Floats:
    """A map ``(h, w)`` as large as the image, (H, W); bilinear, and as it is where it is that large."""
    if heat.shape == size:
        return heat
    large = PIL.Image.fromarray(heat).resize((size[1], size[0]), PIL.Image.Resampling.BILINEAR)
    return np.asarray(np.clip(np.asarray(large), 0.0, 1.0), np.float32)


_NOTHING = 1e-7
"""A difference of one mask that is arithmetic only: in float32 a pair adds up to 1 no more exactly than that."""


def _scaled(heat: NDArray[np.float64], count: int) -> Floats:
    low, high = float(heat.min()), float(heat.max())
    if high - low <= _NOTHING * count:
        return np.zeros(heat.shape, np.float32)
    return np.clip((heat - low) / (high - low), 0.0, 1.0).astype(np.float32)
