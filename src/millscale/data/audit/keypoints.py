"""Local descriptions that survive compression: extrema of a band-passed image, and signs of projections.

JPEG, resaving and noise change every pixel a little, so exact hashes fail. What stays is where a band-passed
image peaks, and on which side of random planes the patch around a peak falls (locality-sensitive hashing by
random hyperplanes, Charikar 2002). All is computed where the filters see only real pixels, so that it does
not depend on where a crop begins.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Field = NDArray[np.float32]

BAND_MARGIN = 4
EXTREMUM_RADIUS = 4
PATCH_RADIUS = 6
TABLES = 8
BITS = 32
MIN_DEVIATION = 0.6
"""Grey levels that an extremum, and the deviation of its patch, need; below, all is flat but for rounding."""

_SMOOTH = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
_BLUR = (1 / 25, 2 / 25, 3 / 25, 4 / 25, 5 / 25, 4 / 25, 3 / 25, 2 / 25, 1 / 25)
_SIDE = 2 * PATCH_RADIUS + 1


@dataclass(frozen=True, eq=False)
class Keypoints:
    """Places of one image that another crop of the same surface chooses too.

    Attributes:
        x, y: ``(N,)`` positions in pixels.
        keys: ``(N, TABLES)`` uint64, one hash a table.
        signatures: ``(N,)`` uint64, 64 further signs.
    """

    x: NDArray[np.intp]
    y: NDArray[np.intp]
    keys: NDArray[np.uint64]
    signatures: NDArray[np.uint64]


class Describer:
    """Finds and describes keypoints; holds the random planes, the same in every instance."""

    def __init__(self) -> None:
        self._planes = _planes(np.random.default_rng(0xC0FFEE))

    def __call__(self, grey: Field) -> Keypoints:
        """Keypoints of one ``(H, W)`` float32 image in grey levels; none where it is too small or flat."""
        if min(grey.shape) < 2 * (BAND_MARGIN + PATCH_RADIUS) + 1:
            nothing = np.empty(0, np.intp)
            return Keypoints(nothing, nothing, np.empty((0, TABLES), np.uint64), np.empty(0, np.uint64))
        band = band_pass(grey)
        x, y = extrema(band)
        patches = sliding_window_view(band, (_SIDE, _SIDE))[y - PATCH_RADIUS, x - PATCH_RADIUS]
        patches = patches.reshape(len(y), _SIDE**2)
        kept = patches.std(1) >= MIN_DEVIATION
        signs = patches[kept] @ self._planes > 0
        tables = signs[:, : TABLES * BITS].reshape(-1, TABLES, BITS)
        keys = pack_signs(tables) ^ (np.arange(TABLES, dtype=np.uint64) << np.uint64(60))
        return Keypoints(x[kept] + BAND_MARGIN, y[kept] + BAND_MARGIN, keys, pack_signs(signs[:, TABLES * BITS :]))


def band_pass(grey: Field) -> Field:
    """``(H - 8, W - 8)`` float32: structure of 2 to 8 pixels, where the filters see real pixels."""
    fine = _filter(grey, _SMOOTH)
    inset = BAND_MARGIN - len(_SMOOTH) // 2
    return fine[inset:-inset, inset:-inset] - _filter(grey, _BLUR)


def extrema(band: Field) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Positions ``(x, y)`` where ``|band|`` peaks within ``EXTREMUM_RADIUS``, a patch from the border."""
    size, margin = np.abs(band), PATCH_RADIUS - EXTREMUM_RADIUS
    peak = _running_max(size, 2 * EXTREMUM_RADIUS + 1)[margin:-margin, margin:-margin]
    # A flat area equals its own maximum everywhere: without the floor every pixel of a mask is an extremum.
    inner = size[PATCH_RADIUS:-PATCH_RADIUS, PATCH_RADIUS:-PATCH_RADIUS]
    y, x = np.nonzero((inner == peak) & (inner >= MIN_DEVIATION))
    return x + PATCH_RADIUS, y + PATCH_RADIUS


def _filter(grey: Field, taps: tuple[float, ...]) -> Field:
    """Separable convolution, valid pixels only."""
    for axis in (0, 1):
        shifted = _shifts(grey, len(taps), axis)
        total = np.float32(taps[0]) * next(shifted)
        for tap, part in zip(taps[1:], shifted, strict=True):
            total += np.float32(tap) * part
        grey = total
    return grey


def _shifts(values: Field, count: int, axis: int) -> Iterator[Field]:
    length = values.shape[axis] - count + 1
    for i in range(count):
        yield values[i : i + length] if axis == 0 else values[:, i : i + length]


def _running_max(values: Field, width: int) -> Field:
    for axis in (0, 1):
        values = np.maximum.reduce(list(_shifts(values, width, axis)))
    return values


def _planes(rng: np.random.Generator) -> Field:
    """``(patch pixels, TABLES * BITS + 64)`` random planes, blind to what every extremum looks like.

    All peaks resemble a round blob; a plane that sees it gives nearly every keypoint the same sign. So the
    round blobs of five sizes, and the mean, are projected out.
    """
    ramp = np.arange(_SIDE) - PATCH_RADIUS
    square = (ramp[:, None] ** 2 + ramp**2).ravel().astype(np.float64)
    window = np.exp(-square / (2 * (PATCH_RADIUS / 1.5) ** 2))
    planes = rng.standard_normal((_SIDE**2, TABLES * BITS + 64)) * window[:, None]
    blobs = np.stack([np.exp(-square / (2 * sigma**2)) for sigma in (1, 1.5, 2.2, 3.3, 5)], 1)
    basis, _ = np.linalg.qr(np.column_stack([blobs, np.ones(_SIDE**2)]))
    return (planes - basis @ (basis.T @ planes)).astype(np.float32)


def pack_signs(signs: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Bits along the last axis, at most 64, as one integer."""
    weights = np.uint64(1) << np.arange(signs.shape[-1], dtype=np.uint64)
    return np.asarray((signs * weights).sum(-1, dtype=np.uint64))
