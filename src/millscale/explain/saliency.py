"""Heat maps out of masks and what remained under them."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def heat_maps(masks: Iterable[Floats], remains: NDArray[np.float64], size: tuple[int, int]) -> Floats:
    """How much more of a target remains where a pixel is seen than where it is hidden, scaled to [0, 1].

    RISE (Petsiuk et al. 2018, equation 6) is the mean of what remains, weighted by the masks. Because the masks come in
    opposite pairs, the mean over the hidden pixels can be taken off, which leaves the place's own part.

    Args:
        masks: N of ``(H, W)`` in [0, 1], in opposite pairs.
        remains: ``(N, T)``, what remained of each target under each mask.
        size: (H, W).

    Returns:
        ``(T, H, W)`` float32; all zero where nothing that was hidden made a difference.
    """
    sums = np.zeros((remains.shape[1], *size), np.float64)
    for mask, row in zip(masks, remains, strict=True):
        for place in np.flatnonzero(row):
            sums[place] += row[place] * (2 * mask - 1)
    return np.stack([_scaled(one, len(remains)) for one in sums])


_NOTHING = 1e-7
"""A difference of one mask that is arithmetic only: in float32 a pair adds up to 1 no more exactly than that."""


def _scaled(heat: NDArray[np.float64], count: int) -> Floats:
    low, high = float(heat.min()), float(heat.max())
    if high - low <= _NOTHING * count:
        return np.zeros(heat.shape, np.float32)
    return np.clip((heat - low) / (high - low), 0.0, 1.0).astype(np.float32)
