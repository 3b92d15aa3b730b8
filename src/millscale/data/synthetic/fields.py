"""Random fields and drawn shapes: the raw material of every synthetic surface.

A field is ``(H, W)`` float32. The functions take their randomness as a NumPy generator, so equal generators
give equal fields, bit for bit, on one machine.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, cos, pi, sin
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFilter

Field = NDArray[np.float32]
Points = NDArray[np.float64]
"""``(N, 2)`` vertices as x, y in pixels."""
Range = tuple[float, float]
Shape = tuple[int, int]
"""Height, width in pixels."""


def between(rng: np.random.Generator, span: Range) -> float:
    """A number drawn uniformly from ``span``."""
    return float(rng.uniform(*span))


def grain(rng: np.random.Generator, shape: Shape, sigma_y: float, sigma_x: float, angle: float = 0.0) -> Field:
    """White noise smoothed by an elongated Gaussian, mean 0 and deviation 1; it wraps round at the edges.

    Args:
        rng: source of randomness.
        shape: height, width in pixels.
        sigma_y: deviation of the Gaussian across its own axis, pixels.
        sigma_x: deviation along its own axis, pixels.
        angle: turn of that axis away from the horizontal, radians.
    """
    height, width = shape
    fy = np.fft.fftfreq(height).astype(np.float32)[:, None]
    fx = np.fft.rfftfreq(width).astype(np.float32)[None, :]
    along, across = fx * cos(angle) + fy * sin(angle), fy * cos(angle) - fx * sin(angle)
    gain = np.exp((-2 * pi**2) * ((sigma_x * along) ** 2 + (sigma_y * across) ** 2)).astype(np.float32)
    gain[0, 0] = 0.0
    noise = rng.standard_normal((height, gain.shape[1], 2), dtype=np.float32).view(np.complex64)[..., 0]
    field: Field = np.fft.irfft2(noise * gain, s=shape).astype(np.float32)
    return field / max(float(field.std()), 1e-12)


def clouds(rng: np.random.Generator, shape: Shape, cell_y: float, cell_x: float) -> Field:
    """Smooth noise: normal values on a coarse lattice, interpolated bicubically; deviation about 0.7.

    Args:
        rng: source of randomness.
        shape: height, width in pixels.
        cell_y: height of a lattice cell in pixels; much taller than the image: hardly a change down the rows.
        cell_x: width of a lattice cell in pixels.
    """
    height, width = shape
    rows, columns = height / cell_y, width / cell_x
    lattice = rng.standard_normal((ceil(rows) + 3, ceil(columns) + 3), dtype=np.float32)
    top, left = 1 + rng.random(), 1 + rng.random()
    box = (left, top, left + columns, top + rows)
    smooth = PillowImage.fromarray(lattice).resize((width, height), PillowImage.Resampling.BICUBIC, box=box)
    return np.asarray(smooth, dtype=np.float32)


def soften(field: Field, weight: float) -> Field:
    """The field blurred by the kernel (weight, 1 - 2 weight, weight) along both axes, edges repeated."""
    padded = np.pad(field, 1, mode="edge")
    rows = weight * (padded[:-2] + padded[2:]) + (1 - 2 * weight) * padded[1:-1]
    blurred = weight * (rows[:, :-2] + rows[:, 2:]) + (1 - 2 * weight) * rows[:, 1:-1]
    return blurred.astype(np.float32, copy=False)


def ramp(field: Field, start: float, width: float) -> Field:
    """0 below ``start``, 1 above ``start + width``, linear between: a threshold with a soft edge."""
    risen: Field = np.clip((field - np.float32(start)) / np.float32(width), 0, 1)
    return risen


@dataclass(frozen=True, eq=False)
class Stroke:
    """A shape to be drawn.

    Attributes:
        points: vertices of a line or a polygon, or the two corners of an ellipse.
        strength: how opaque, in [0, 1].
        width: line width in pixels; used by lines alone.
        form: what the points mean.
    """

    points: Points
    strength: float
    width: int = 1
    form: Literal["line", "polygon", "ellipse"] = "line"


def draw(shape: Shape, strokes: Iterable[Stroke], blur: float) -> Field:
    """Draw strokes over each other in order, then blur by a Gaussian of ``blur`` pixels; values in [0, 1]."""
    canvas = PillowImage.new("L", (shape[1], shape[0]))
    pen = ImageDraw.Draw(canvas)
    for stroke in strokes:
        _draw_one(pen, stroke)
    blurred = canvas.filter(ImageFilter.GaussianBlur(blur)) if blur > 0 else canvas
    return np.asarray(blurred, dtype=np.float32) / np.float32(255)


def _draw_one(pen: ImageDraw.ImageDraw, stroke: Stroke) -> None:
    """Put one stroke on the canvas."""
    points: Sequence[tuple[float, float]] = [(float(x), float(y)) for x, y in stroke.points]
    fill = round(255 * stroke.strength)
    if stroke.form == "line":
        pen.line(points, fill=fill, width=stroke.width)
    elif stroke.form == "polygon":
        pen.polygon(points, fill=fill)
    else:
        pen.ellipse([*points[0], *points[1]], fill=fill)


def ellipse(x: float, y: float, radius_x: float, radius_y: float, strength: float) -> Stroke:
    """A filled, upright ellipse."""
    corners = np.array([[x - radius_x, y - radius_y], [x + radius_x, y + radius_y]])
    return Stroke(corners, strength, form="ellipse")


def walk(
    rng: np.random.Generator,
    start: tuple[float, float],
    heading: float,
    steps: int,
    stride: float,
    jag: float,
) -> Points:
    """A jagged path of ``steps`` strides that wanders about its heading (radians, 0 = along x)."""
    turns = rng.normal(0, jag, steps) + np.cumsum(rng.normal(0, jag / 4, steps))
    moves = stride * np.stack([np.cos(heading + turns), np.sin(heading + turns)], axis=1)
    path: Points = np.concatenate([[start], np.asarray(start) + np.cumsum(moves, axis=0)])
    return path


def spindle(rng: np.random.Generator, top: tuple[float, float], length: float, width: float, strength: float) -> Stroke:
    """An upright shape with ragged sides and tapering ends, as rolling draws out an inclusion.

    Args:
        rng: source of randomness.
        top: x, y of its upper end, pixels.
        length: height in pixels.
        width: greatest width in pixels, about.
        strength: how opaque, in [0, 1].
    """
    count = max(5, int(length / 3))
    t = np.linspace(0, 1, count)
    taper = np.sin(pi * t) ** between(rng, (0.4, 1.3))
    left, right = (width / 2 * taper * _ragged(rng, count) for _ in range(2))
    centre = top[0] + np.cumsum(rng.normal(0, 0.25, count)) + (t - 0.5) * rng.normal(0, width / 2)
    y = top[1] + length * t
    outline = np.concatenate([np.stack([centre - left, y], axis=1), np.stack([centre + right, y], axis=1)[::-1]])
    return Stroke(outline, strength, form="polygon")


def _ragged(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Factors about 0.8 for one side's breadth: slow swelling with small teeth on it."""
    knots = np.arange(0, count + 6, 6)
    swelling = np.interp(np.arange(count), knots, rng.standard_normal(len(knots)))
    return (0.8 + 0.35 * swelling + 0.15 * rng.standard_normal(count)).clip(0.1)
