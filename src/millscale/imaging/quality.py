"""Is this a proper photograph at all? A few sensors of brightness, noise, sharpness, colour and size, and their limits.

A black, washed out, blurred or empty frame, or one from another camera, says nothing of the metal: it is a fault of the
imaging, neither a pass nor a defect. Limits come from training images alone, without labels and without faulty images;
without them only what no inspection could use is a fault.

Noise and sharpness are read off the variogram g(h), the mean squared difference of pixels h apart along rows and
columns (Matheron 1963). White noise adds the same to every g(h), so differences of them are free of it: g(2) - g(1)
is what changes within two pixels of the picture itself, and a blur of some pixels leaves next to nothing of it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from millscale.core.types import Image

Ranges = Mapping[str, tuple[float, float]]
"""Sensor → the lowest and the highest value of a proper image."""

_FAR = 16
"""Pixels: the longest distance of the variogram, what structure is told from noise at."""
_NO_STRUCTURE = 1e-3
"""Squared grey levels: what rounding leaves."""
_SAMPLED = 2**18
"""Pixels of which the histogram is made; of larger images every n-th row and column."""
_WINDOW = 256
"""Side of the nine windows that stand for an image with sides beyond three of them."""
_TAIL = 0.0025
"""Share of the training images beyond each quantile that limits start from: one of 500 is no rule."""
_REACH, _FEW = 0.15, 100
"""A limit lies beyond that quantile by this part of its distance from the median, and (_FEW / n)^1.5 of it more."""
_MANY = 0.1
"""From this share on, what the absolute rules call a fault is how the surface looks, and they are dropped."""


@dataclass(frozen=True)
class Quality:
    """What the sensors read.

    Attributes:
        brightness: mean grey level, 0 to 255, as the next three.
        shadows, highlights: first and 99th percentile of the grey levels.
        contrast: highlights less shadows.
        black, white: share of pixels clipped at either end: at most 4, at least 251.
        noise: g(1) / g(16), the part of all contrast within 16 pixels that is there between neighbours: 1 where
            nothing but noise is.
        sharpness: (g(2) - g(1)) / (g(16) - g(1)): of the structure within 16 pixels what lies within two; about 0.012
            for any blur of many pixels. 0 where there is no structure.
        colour: mean of |R - G| + |B - G|, by the brightness (+ 1).
        size: square root of the number of pixels.
        aspect: width / height.
    """

    brightness: float
    shadows: float
    highlights: float
    contrast: float
    black: float
    white: float
    noise: float
    sharpness: float
    colour: float
    size: float
    aspect: float


ABSOLUTE: Ranges = {"highlights": (9.0, 255.0), "shadows": (0.0, 250.0), "contrast": (2.0, 255.0), "noise": (0.0, 0.9)}
"""What no inspection could use, whatever it was trained on: a black, white or blank frame, and one of noise alone."""


@dataclass(frozen=True)
class _Sensor:
    """How a sensor is limited and what it means to be beyond.

    Attributes:
        low, high: what too low and too high a value says; None on a side without a limit.
        advice: what to do.
        margin: least distance of a limit from the outermost training images: a factor, of shares a difference.
        absolute: what a value beyond the absolute rule says.
        scale: "log" for values that optics multiply, "level" for grey levels, which light multiplies and 255 clips, so
            that they are looked at from either end, "share" as they are.
        shift: added before a logarithm.
        within: the lowest and the highest value there can be.
    """

    low: str | None
    high: str | None
    advice: str
    margin: float
    absolute: str = ""
    scale: Literal["log", "level", "share"] = "log"
    shift: float = 1.0
    within: tuple[float, float] = (0.0, 255.0)


_LAMP, _CAMERA, _METAL = "check lamp and exposure", "check camera and crop", "check that metal is in view"
_DARK, _BRIGHT = "under-exposed frame", "over-exposed frame"
_SENSORS: Mapping[str, _Sensor] = {
    "highlights": _Sensor(_DARK, None, _LAMP, 1.25, "black frame", scale="level"),
    "shadows": _Sensor(None, _BRIGHT, _LAMP, 1.35, "white frame", scale="level"),
    "size": _Sensor("small frame", "large frame", _CAMERA, 1.5, shift=0.0, within=(0.0, 1e9)),
    "aspect": _Sensor("narrow frame", "wide frame", _CAMERA, 1.5, shift=0.0, within=(0.0, 1e9)),
    "colour": _Sensor("frame without colour", "frame in colour", _CAMERA, 2.0, shift=0.05, within=(0.0, 510.0)),
    "brightness": _Sensor(_DARK, _BRIGHT, _LAMP, 1.8, scale="level"),
    "black": _Sensor(None, _DARK, _LAMP, 0.3, scale="share", within=(0.0, 1.0)),
    "white": _Sensor(None, _BRIGHT, _LAMP, 0.3, scale="share", within=(0.0, 1.0)),
    "contrast": _Sensor("pale frame", None, _METAL, 1.25, "blank frame"),
    "noise": _Sensor(None, "noisy frame", _LAMP, 1.25, "blank frame with noise", shift=1e-3, within=(0.0, 1.0)),
    "sharpness": _Sensor("blurred frame", None, "check focus and lens", 1.3, shift=1e-3, within=(0.0, 99.0)),
}
"""In the order in which they are looked at: the first that is beyond its limits is told."""
SENSORS = tuple(_SENSORS)


def measure(image: Image) -> Quality:
    """Read all sensors of ``(H, W, 3)`` or ``(H, W)`` uint8 pixels; of very large images a part stands for all."""
    height, width = image.shape[:2]
    step = max(1, int((height * width / _SAMPLED) ** 0.5))
    sample = image[::step, ::step]
    grey = _grey(sample)
    counts = np.bincount(grey.ravel(), minlength=256)
    below = np.cumsum(counts) / counts.sum()
    mean = float(counts @ np.arange(256) / counts.sum())
    shadows, highlights = (float(level) for level in np.searchsorted(below, (0.01, 0.99)))
    noise, sharpness = _texture(grey if step == 1 else image, mean)
    return Quality(
        brightness=mean,
        shadows=shadows,
        highlights=highlights,
        contrast=highlights - shadows,
        black=float(below[4]),
        white=float(1 - below[250]),
        noise=noise,
        sharpness=sharpness,
        colour=_colour(sample[::4, ::4]) / (mean + 1),
        size=(height * width) ** 0.5,
        aspect=width / height,
    )


def fit_limits(qualities: Sequence[Quality]) -> dict[str, tuple[float, float]]:
    """The limits that images like these keep, with a margin for those not seen, the larger the fewer there are.

    Black, white and blank frames among them do not count, unless they are many.

    Returns:
        A range for every sensor; none where there is no image.
    """
    sound = [quality for quality in qualities if fault(quality) is None]
    usual = len(sound) > (1 - _MANY) * len(qualities)
    rows = sound if usual else qualities
    if not rows:
        return {}
    found = {name: _limits(sensor, [getattr(row, name) for row in rows]) for name, sensor in _SENSORS.items()}
    if usual:
        found |= {name: (max(found[name][0], low), min(found[name][1], high)) for name, (low, high) in ABSOLUTE.items()}
    return found


def fault(quality: Quality, limits: Ranges | None = None) -> str | None:
    """Why this is no proper image, or None: of the first sensor that is beyond its limits.

    Args:
        quality: of `measure`.
        limits: of `fit_limits`; where one is missing the absolute rule holds.
    """
    limits = {**ABSOLUTE, **(limits or {})}
    for name, sensor in _SENSORS.items():
        low, high = limits.get(name, sensor.within)
        value = getattr(quality, name)
        told = sensor.low if value < low else sensor.high if value > high else None
        told = None if math.isclose(value, low) or math.isclose(value, high) else told  # limits come out of logarithms
        if told:
            least, most = ABSOLUTE.get(name, sensor.within)
            what = told if least <= value <= most else sensor.absolute
            return f"{what} ({name} {_told(value)}, expected {_told(low)} to {_told(high)}); {sensor.advice}"
    return None


def _told(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _limits(sensor: _Sensor, values: Sequence[float]) -> tuple[float, float]:
    found, (low, high) = np.asarray(values, np.float64), sensor.within
    if sensor.low:
        low = max(low, _beyond(found, sensor))
    if sensor.high:
        mirrored = sensor.scale == "level"
        high = min(high, high - _beyond(high - found, sensor) if mirrored else _beyond(found, sensor, sign=-1.0))
    return low, high


def _beyond(values: NDArray[np.float64], sensor: _Sensor, sign: float = 1.0) -> float:
    """The lower limit, or with ``sign`` -1 the upper one."""
    share, few = sensor.scale == "share", (_FEW / len(values)) ** 1.5
    scaled = sign * (values if share else np.log(values + sensor.shift))
    outermost, middle = np.quantile(scaled, (_TAIL, 0.5))
    margin = sensor.margin * (1 + few) if share else np.log(sensor.margin)
    limit = sign * (outermost - max((_REACH + few) * (middle - outermost), margin))
    return float(limit if share else np.exp(limit) - sensor.shift)


def _grey(image: Image) -> Image:
    """``(H, W)`` uint8, (R + 2 G + B) / 4 of colours."""
    if image.ndim == 2:
        return image
    red, green, blue = (image[..., channel].astype(np.uint16) for channel in range(3))
    return ((red + 2 * green + blue) >> 2).astype(np.uint8)


def _colour(image: Image) -> float:
    if image.ndim == 2:
        return 0.0
    red, green, blue = (image[..., channel].astype(np.int16) for channel in range(3))
    return float((np.abs(red - green) + np.abs(blue - green)).mean())


def _texture(image: Image, mean: float) -> tuple[float, float]:
    """Noise and sharpness."""
    sums = np.zeros((2, 3))
    for rows in _parts(image.shape[0]):
        for columns in _parts(image.shape[1]):
            grey = _grey(image[rows, columns]).astype(np.float32) - np.float32(mean)
            sums += _squares(grey) + _squares(np.ascontiguousarray(grey.T))
    if not sums[1].all():
        return 0.0, 1.0  # too small to tell
    near, next_near, far = np.maximum(sums[0] / sums[1], 0.0)
    structure = far - near
    if structure < _NO_STRUCTURE:
        return 1.0, 0.0
    return float(near / far), float(max(next_near - near, 0.0) / structure)


def _parts(side: int) -> list[slice]:
    """All of a side, or three windows of it."""
    if side <= 3 * _WINDOW:
        return [slice(0, side)]
    return [slice(start, start + _WINDOW) for start in np.linspace(0, side - _WINDOW, 3).astype(int)]


def _squares(grey: NDArray[np.float32]) -> NDArray[np.float64]:
    """Summed squared differences of rows 1, 2 and 16 apart, and how many pixels were compared: ``(2, 3)``.

    By products of whole blocks, (a - b)² = a² + b² - 2ab, which needs no copy.
    """
    energy = np.einsum("ij,ij->i", grey, grey)
    sums = np.zeros((2, 3))
    for column, lag in enumerate((1, 2, _FAR)):
        first, second = grey[:-lag], grey[lag:]
        sums[0, column] = energy[:-lag].sum() + energy[lag:].sum() - 2 * np.dot(first.ravel(), second.ravel())
        sums[1, column] = first.size
    return sums
