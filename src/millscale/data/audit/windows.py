"""Content-defined sampling of pixel windows: two crops of one photograph choose the same windows.

Every ``SIDE`` x ``SIDE`` window gets a 64-bit hash, a polynomial in the pixels over the integers modulo
2^64 (the wrap-around of uint64), rolled over rows and then columns by doubling. A window is kept where
its mixed hash is a multiple of ``SAMPLING``: the choice depends on the pixels alone, not on where the crop
begins (winnowing by "0 mod p", Manber 1994, in two dimensions).
"""

import numpy as np
from numpy.typing import NDArray

from millscale.core.types import Image

SIDE = 8
SAMPLING = 32
MIN_CHANGES = 0.25
"""Share of neighbouring pixels that must differ, along x and along y; below, a window is flat or striped."""

_ROW_BASE = np.uint64(0x9E3779B97F4A7C15)
_COLUMN_BASE = np.uint64(0xC2B2AE3D27D4EB4F)


def sample_windows(image: Image) -> tuple[NDArray[np.uint64], NDArray[np.intp], NDArray[np.intp]]:
    """Hashes and left-top corners ``(x, y)`` of the sampled, textured windows of one image.

    Args:
        image: ``(H, W)`` or ``(H, W, 3)`` uint8; smaller than a window gives empty arrays.
    """
    if min(image.shape[:2]) < SIDE:
        nothing = np.empty(0, np.intp)
        return np.empty(0, np.uint64), nothing, nothing
    hashes = window_hashes(image)
    y, x = np.nonzero(hashes % np.uint64(SAMPLING) == 0)
    textured = is_textured(image, x, y)
    x, y = x[textured], y[textured]
    return hashes[y, x], x, y


def window_hashes(image: Image) -> NDArray[np.uint64]:
    """``(H - SIDE + 1, W - SIDE + 1)`` uint64, one mixed hash a window, equal where the pixels are equal."""
    values = _pixel_codes(image)
    values = _roll(values, _ROW_BASE)
    values = _roll(values.T, _COLUMN_BASE).T
    return _mix(values)


def is_textured(image: Image, x: NDArray[np.intp], y: NDArray[np.intp]) -> NDArray[np.bool_]:
    """``(N,)`` bool: does the window at each corner vary enough to say where it comes from?"""
    step = np.arange(SIDE)
    grey = image if image.ndim == 2 else image[..., 1]
    windows = grey[y[:, None, None] + step[:, None], x[:, None, None] + step]
    along_x = (windows[:, :, 1:] != windows[:, :, :-1]).mean((1, 2))
    along_y = (windows[:, 1:] != windows[:, :-1]).mean((1, 2))
    return np.asarray(np.minimum(along_x, along_y) >= MIN_CHANGES)


def _pixel_codes(image: Image) -> NDArray[np.uint64]:
    codes = np.random.default_rng(0x5EED).integers(0, 2**64, (3, 256), np.uint64)
    if image.ndim == 2:
        return np.asarray(codes[0][image])
    return np.asarray(codes[0][image[..., 0]] + codes[1][image[..., 1]] + codes[2][image[..., 2]])


def _roll(values: NDArray[np.uint64], base: np.uint64) -> NDArray[np.uint64]:
    """Polynomial hashes of ``SIDE`` neighbours along the last axis; SIDE is a power of two, so log2 steps."""
    length, power = 1, base
    while length < SIDE:
        values = values[:, :-length] * power + values[:, length:]
        power = np.multiply(power, power, dtype=np.uint64)
        length *= 2
    return values


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of MurmurHash3's family: every input bit reaches every output bit."""
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return values ^ (values >> np.uint64(33))
