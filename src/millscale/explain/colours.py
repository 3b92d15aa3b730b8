"""A colour map for heat whose equal steps look equal: lightness rises evenly from dark violet to light yellow.

The colours are chosen in OKLab, where a distance is how different two colours look (Ottosson 2020, "A perceptual color
space for image processing"); in grey print and to the colour-blind, the lightness alone still tells the order.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from millscale.core.types import Image

_LIGHTNESS = (0.27, 0.92)
_HUE = (-65.0, 105.0)
"""Degrees from violet over blue and green, the way round that leaves red free for boxes."""
_CHROMA = 0.115

_LMS_OF_LAB = np.array(
    [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.291485548]]
)
_RGB_OF_LMS = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.707614701],
    ]
)


def heat_colours(heat: ArrayLike) -> Image:
    """``(..., 3)`` uint8 RGB of values in [0, 1]."""
    share = np.asarray(np.clip(heat, 0, 1), np.float64)
    colours: Image = _TABLE[np.rint(share * (len(_TABLE) - 1)).astype(np.int64)]
    return colours


def _table(count: int = 256) -> Image:
    share = np.linspace(0, 1, count)
    lightness = np.interp(share, [0, 1], _LIGHTNESS)
    hue = np.radians(np.interp(share, [0, 1], (_HUE[0] + 360, _HUE[1])))
    lab = np.stack([lightness, _CHROMA * np.cos(hue), _CHROMA * np.sin(hue)], axis=1)
    return _encoded((lab @ _LMS_OF_LAB.T) ** 3 @ _RGB_OF_LMS.T)


def _encoded(linear: NDArray[np.float64]) -> Image:
    """Linear light to sRGB bytes (IEC 61966-2-1)."""
    light = np.clip(linear, 0, 1)
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    colours: Image = np.rint(255 * curve).astype(np.uint8)
    return colours


_TABLE = _table()
