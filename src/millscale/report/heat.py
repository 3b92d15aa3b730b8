"""An anomaly map laid over its image: clear where all is well, coloured where it is suspect, the defect outlined.

An image far larger than its picture is shrunk, its map and its mask by their largest values: a spot of a few pixels
must stay to be seen.
"""

from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from millscale.core.errors import DataError
from millscale.core.types import Image
from millscale.data.masks import THRESHOLD
from millscale.explain.colours import heat_colours
from millscale.imaging.decode import read_image
from millscale.imaging.preprocess import as_rgb

OUTLINE = (255, 59, 48)
CLEAR, FULL = 0.5, 2.0
"""In multiples of the threshold: up to where nothing is coloured, and from where the colour is brightest."""
_SHARE = 0.65


def laid_over(
    image: Image, heat: NDArray[np.floating] | None, mask: NDArray[np.bool_] | None, threshold: float
) -> Image:
    """``(H, W, 3)`` uint8: the image under its heat with a ring about the highest place, around the mask a red line.

    Args:
        image: ``(H, W, 3)`` RGB or ``(H, W)`` grey, as small as it is shown.
        heat: raw anomaly map of the whole image, of any size, or None.
        mask: ``(H', W')`` of any size, True where the defect is, or None.
        threshold: raw score that the colours go by.
    """
    result = as_rgb(image).astype(np.float64)
    size = result.shape[:2]
    if heat is not None:
        level = _fitted(np.asarray(heat, np.float32), size)[..., None].astype(np.float64) / threshold
        place = np.log(np.maximum(level, CLEAR) / CLEAR) / np.log(FULL / CLEAR)  # 0, at the threshold ½, from FULL on 1
        weight = _SHARE * np.minimum(1, 2 * place)
        result = (1 - weight) * result + weight * heat_colours(place[..., 0])
        _draw_ring(result, np.unravel_index(level[..., 0].argmax(), size))
    if mask is not None:
        inside = _fitted(mask.astype(np.float32), size) >= 0.5
        result[_grown(inside, max(1, round(max(size) / 200))) & ~inside] = OUTLINE
    return np.rint(result).astype(np.uint8)


def read_outline(path: Path | None) -> NDArray[np.bool_] | None:
    """``(H, W)`` True where the mask file shows a defect; None without one, or where it cannot be read any more."""
    if path is None:
        return None
    try:
        pixels = read_image(path)
    except DataError:
        return None
    return np.asarray((pixels if pixels.ndim == 2 else pixels.max(2)) > THRESHOLD, np.bool_)


def _fitted(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """``values`` at ``size`` (height, width), an axis shrunk by its largest values or stretched between them."""
    for axis, length in enumerate(size):
        if values.shape[axis] > length:
            starts = np.arange(length) * values.shape[axis] // length
            values = np.maximum.reduceat(values, starts, axis=axis)
    if values.shape == size:
        return values
    picture = PIL.Image.fromarray(values).resize(size[::-1], PIL.Image.Resampling.BILINEAR)
    return np.asarray(picture, np.float32)


def _draw_ring(pixels: NDArray[np.float64], centre: tuple[np.intp, ...]) -> None:
    """A white ring with a black one about it, for any ground, into ``pixels`` ``(H, W, 3)``."""
    height, width = pixels.shape[:2]
    distance = np.hypot(np.arange(height)[:, None] - centre[0], np.arange(width) - centre[1])
    radius, line = max(height, width) / 22, max(height, width) / 180
    for color, inner in ((255.0, radius), (0.0, radius + line)):
        pixels[(distance >= inner) & (distance < inner + line)] = color


def _grown(inside: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """``inside`` with every pixel not farther than ``by`` rows and columns from it."""
    padded = np.pad(inside, by)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * by + 1, 2 * by + 1))
    return np.asarray(windows.any((2, 3)), np.bool_)
