"""Unlabelled metal surfaces of every sort: what a backbone for metal texture is distilled on."""

from collections.abc import Callable, Sequence
from io import BytesIO
from math import hypot, pi

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageFilter

from millscale.data.synthetic.fields import (
    Field,
    Shape,
    Stroke,
    between,
    clouds,
    draw,
    ellipse,
    grain,
    ramp,
    spindle,
    walk,
)
from millscale.data.synthetic.sheet import KINDS, render_sheet

Layer = Callable[[np.random.Generator, Shape], Field]
"""Draws a field of about unit contrast, to be added to or multiplied into a surface."""


def render_texture(seed: int | Sequence[int], size: int = 200) -> NDArray[np.uint8]:
    """A random metal surface without a label: grain, machining, scale, blotches, marks, light, camera.

    Args:
        seed: equal seeds give equal textures, bit for bit, on one machine.
        size: side in pixels, at least 32.

    Returns:
        ``(size, size)`` uint8 grey.
    """
    rng = np.random.default_rng(seed)
    surface = _strip(rng, size) if rng.random() < 0.3 else _layered(rng, (size, size))
    return _photograph(rng, _turn(rng, surface))


def _strip(rng: np.random.Generator, size: int) -> Field:
    """A piece of hot-rolled strip at some magnification, about 0 with deviation 1."""
    kind = KINDS[int(rng.integers(len(KINDS)))]
    side = max(32, int(size * between(rng, (0.5, 1.3))))
    strip = PillowImage.fromarray(render_sheet(kind, side, int(rng.integers(2**62))).image)
    return _standard(np.asarray(strip.resize((size, size), PillowImage.Resampling.BICUBIC), dtype=np.float32))


def _layered(rng: np.random.Generator, shape: Shape) -> Field:
    """One or two grounds under up to four kinds of marks, about 0 with deviation 1."""
    grounds = rng.choice(len(GROUNDS), size=int(rng.integers(1, 3)), replace=False)
    layers = (between(rng, (0.4, 1)) * GROUNDS[int(k)](rng, shape) for k in grounds)
    surface = _standard(sum(layers, np.zeros(shape, np.float32)))
    for k in rng.choice(len(MARKS), size=int(rng.integers(0, 5)), replace=False):
        sign = 1 if rng.random() < 0.35 else -1
        surface = surface + np.float32(sign * between(rng, (0.4, 4))) * MARKS[int(k)](rng, shape)
    return _standard(surface)


def _standard(field: Field) -> Field:
    """Mean 0 and deviation 1."""
    scaled: Field = (field - field.mean()) / np.float32(max(float(field.std()), 1e-6))
    return scaled


def _turn(rng: np.random.Generator, surface: Field) -> Field:
    """One of the eight turns and reflections of a square."""
    turned = surface.T if rng.random() < 0.5 else surface
    return turned[:: int(rng.choice((-1, 1))), :: int(rng.choice((-1, 1)))]


def _photograph(rng: np.random.Generator, surface: Field) -> NDArray[np.uint8]:
    """Light, exposure and contrast, tone curve, blur, noise, 8 bits, sometimes compression."""
    light = 1 + between(rng, (0, 0.3)) * clouds(rng, surface.shape, *rng.uniform(60, 500, 2))
    contrast = np.exp(rng.normal(np.log(0.18), 0.75))
    bright = np.clip(light * (1 + contrast * surface), 0, 8) ** between(rng, (0.6, 1.6))
    seen = between(rng, (45, 215)) * bright.astype(np.float32)
    photo = PillowImage.fromarray(np.clip(np.rint(seen), 0, 255).astype(np.uint8))
    if rng.random() < 0.4:
        photo = photo.filter(ImageFilter.GaussianBlur(between(rng, (0.3, 1.8))))
    noise = rng.standard_normal(surface.shape, dtype=np.float32)
    noisy = np.asarray(photo, dtype=np.float32) + np.float32(rng.exponential(2.0)) * noise
    pixels = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    return _compressed(pixels, int(rng.integers(35, 95))) if rng.random() < 0.2 else pixels


def _compressed(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """The image after a round trip through JPEG."""
    buffer = BytesIO()
    PillowImage.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(PillowImage.open(buffer))


def _isotropic(rng: np.random.Generator, shape: Shape) -> Field:
    """Even grain of some size."""
    sigma = float(np.exp(between(rng, (-0.9, 1.6))))
    return grain(rng, shape, sigma, sigma)


def _brushed(rng: np.random.Generator, shape: Shape) -> Field:
    """Long parallel marks of rolling, grinding or brushing."""
    length = float(np.exp(between(rng, (1, 4.5))))
    return grain(rng, shape, between(rng, (0.4, 1.6)), length, rng.normal(0, 0.3))


def _crossed(rng: np.random.Generator, shape: Shape) -> Field:
    """Two directions of grinding over each other."""
    first = grain(rng, shape, 0.7, between(rng, (6, 30)), between(rng, (0.2, 1.2)))
    return first + grain(rng, shape, 0.7, between(rng, (6, 30)), -between(rng, (0.2, 1.2)))


def _fractal(rng: np.random.Generator, shape: Shape) -> Field:
    """Scale: roughness at every size."""
    decay, squeeze = between(rng, (0.5, 0.95)), between(rng, (0.6, 1.7))
    cells = (96, 48, 24, 12, 6, 3)
    octaves = (decay**k * clouds(rng, shape, cell * squeeze, cell) for k, cell in enumerate(cells))
    return _standard(sum(octaves, np.zeros(shape, np.float32)))


def _turned(rng: np.random.Generator, shape: Shape) -> Field:
    """Concentric tool marks of turning or milling, round a centre on or off the picture."""
    y, x = _grid(shape)
    reach = between(rng, (0, 4)) * shape[1]
    angle = between(rng, (0, 2 * pi))
    radius = np.hypot(x - shape[1] / 2 - reach * np.cos(angle), y - shape[0] / 2 - reach * np.sin(angle))
    return _grooves(rng, radius)


def _chatter(rng: np.random.Generator, shape: Shape) -> Field:
    """Straight, regular waves of a roll or a cutter, wandering a little."""
    y, x = _grid(shape)
    angle = between(rng, (0, pi))
    wander = between(rng, (0, 6)) * clouds(rng, shape, 60, 60)
    return _grooves(rng, x * np.cos(angle) + y * np.sin(angle) + wander)


def _grooves(rng: np.random.Generator, distance: Field) -> Field:
    """A profile repeated along a distance, with grooves of changing depth."""
    phase = distance * (2 * pi / float(np.exp(between(rng, (1.1, 3.2)))))
    wave = np.sin(phase) + between(rng, (0, 0.6)) * np.sin(2.15 * phase)
    place = (distance - distance.min()).astype(np.intp)
    depth = rng.normal(0, 1, int(place.max()) + 1)[place]
    grooves: Field = (wave + between(rng, (0, 1)) * depth).astype(np.float32)
    return grooves


def _crystals(rng: np.random.Generator, shape: Shape) -> Field:
    """Grains of galvanised or etched metal: flat cells, each of its own brightness."""
    count = int(rng.integers(12, 90))
    points = rng.uniform(0, 1, (count, 2)) * shape
    tones = rng.normal(0, 1, count).astype(np.float32)
    wobble = between(rng, (0, 8))
    y, x = _grid((shape[0] // 2, shape[1] // 2))
    y, x = 2 * y + wobble * clouds(rng, y.shape, 8, 8), 2 * x + wobble * clouds(rng, x.shape, 8, 8)
    nearest, best = np.zeros(y.shape, np.intp), np.full(y.shape, np.inf, np.float32)
    for k, (py, px) in enumerate(points.astype(np.float32)):
        distance = (y - py) ** 2 + (x - px) ** 2
        closer = distance < best
        nearest[closer], best = k, np.minimum(best, distance)
    cells = PillowImage.fromarray(tones[nearest])
    return np.asarray(cells.resize(shape[::-1], PillowImage.Resampling.BILINEAR), dtype=np.float32)


def _embossed(rng: np.random.Generator, shape: Shape) -> Field:
    """A rough relief lit from the side."""
    relief = clouds(rng, shape, between(rng, (5, 25)), between(rng, (5, 25))) + 0.3 * clouds(rng, shape, 4, 4)
    slope_y, slope_x = np.gradient(relief)
    angle = between(rng, (0, 2 * pi))
    return _standard(slope_y * np.float32(np.sin(angle)) + slope_x * np.float32(np.cos(angle)))


def _grid(shape: Shape) -> tuple[Field, Field]:
    """Row and column of every pixel."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return y, x


def _blotches(rng: np.random.Generator, shape: Shape) -> Field:
    """Irregular areas, soft or sharp at the edge."""
    form = clouds(rng, shape, *np.exp(rng.uniform(2.5, 4.8, 2)))
    form = form + between(rng, (0, 0.4)) * clouds(rng, shape, 9, 9)
    return ramp(form, float(np.quantile(form, between(rng, (0.5, 0.95)))), between(rng, (0.03, 0.8)))


def _rims(rng: np.random.Generator, shape: Shape) -> Field:
    """Contours, as drying water or a tide of oxide leaves."""
    form = clouds(rng, shape, *rng.uniform(20, 90, 2)) + 0.15 * clouds(rng, shape, 7, 7)
    distance = np.abs(form - between(rng, (-0.5, 0.8)))
    return ramp(-distance, -between(rng, (0.05, 0.2)), between(rng, (0.04, 0.2)))


def _scratches(rng: np.random.Generator, shape: Shape) -> Field:
    """Straight or curved lines in one main direction, or in any."""
    heading, spread = between(rng, (0, pi)), float(rng.choice((0.02, 0.2, 2.0)))
    curl, steps = float(rng.choice((0.0, 0.02, 0.1))), int(rng.integers(4, 40))
    lines = [
        Stroke(
            walk(rng, _somewhere(rng, shape), rng.normal(heading, spread), steps, 8, curl),
            between(rng, (0.2, 1)),
            int(rng.integers(1, 4)),
        )
        for _ in range(int(rng.integers(1, 30)))
    ]
    return draw(shape, lines, between(rng, (0.4, 1.5)))


def _cracks(rng: np.random.Generator, shape: Shape) -> Field:
    """Jagged, wandering lines."""
    heading, spread, jag = between(rng, (0, pi)), between(rng, (0.1, 2)), between(rng, (0.3, 1))
    lines = [
        Stroke(
            walk(rng, _somewhere(rng, shape), rng.normal(heading, spread), int(rng.integers(5, 50)), 3, jag),
            between(rng, (0.3, 1)),
            int(rng.integers(1, 3)),
        )
        for _ in range(int(rng.integers(2, 35)))
    ]
    return draw(shape, lines, between(rng, (0.4, 1)))


def _pits(rng: np.random.Generator, shape: Shape) -> Field:
    """Round or oval spots, few or many, of mixed sizes."""
    largest, oval = float(np.exp(between(rng, (0.4, 3)))), float(np.exp(rng.normal(0, 0.4)))
    count = int(np.exp(between(rng, (0.5, 5.3))) / (1 + largest / 8))
    spots = []
    for _ in range(count):
        radius = 0.8 + largest * rng.random() ** 2
        spots.append(ellipse(*_somewhere(rng, shape), radius * oval, radius / oval, between(rng, (0.3, 1))))
    return draw(shape, spots, between(rng, (0.4, 1.6)))


def _stipple(rng: np.random.Generator, shape: Shape) -> Field:
    """A dense pattern of dots or short dashes."""
    rough = grain(rng, shape, between(rng, (0.8, 2.5)), between(rng, (0.8, 6)), rng.normal(0, 0.3))
    dots = ramp(rough, between(rng, (0.5, 2)), between(rng, (0.2, 1)))
    return dots * ramp(clouds(rng, shape, 70, 70), -0.8, 1)


def _stringers(rng: np.random.Generator, shape: Shape) -> Field:
    """Ragged shapes drawn out in one direction."""
    shapes = [
        spindle(rng, _somewhere(rng, shape), between(rng, (8, 150)), between(rng, (2, 16)), between(rng, (0.4, 1)))
        for _ in range(int(rng.integers(1, 22)))
    ]
    return draw(shape, shapes, between(rng, (0.4, 1.5)))


def _steps(rng: np.random.Generator, shape: Shape) -> Field:
    """Bands with straight sides, as a seam, a weld or the edge of a mask leaves them."""
    y, x = _grid(shape)
    angle, width = between(rng, (0, pi)), between(rng, (0.03, 0.6)) * hypot(*shape)
    centre = _somewhere(rng, shape)
    distance = (x - centre[0]) * np.cos(angle) + (y - centre[1]) * np.sin(angle)
    return ramp(width / 2 - np.abs(distance), 0, between(rng, (1, 15))).astype(np.float32)


def _dents(rng: np.random.Generator, shape: Shape) -> Field:
    """Shallow dents: a bright side and a dark side each."""
    spots = [
        ellipse(*_somewhere(rng, shape), between(rng, (4, 25)), between(rng, (4, 25)), between(rng, (0.4, 1)))
        for _ in range(int(rng.integers(1, 8)))
    ]
    slope_y, slope_x = np.gradient(draw(shape, spots, between(rng, (2, 6))))
    shading: Field = np.add(slope_x, between(rng, (-1, 1)) * slope_y) * 6
    return shading


def _somewhere(rng: np.random.Generator, shape: Shape) -> tuple[float, float]:
    """A point on the surface, x, y."""
    return between(rng, (0, shape[1])), between(rng, (0, shape[0]))


GROUNDS: tuple[Layer, ...] = (
    _isotropic,
    _brushed,
    _crossed,
    _fractal,
    _turned,
    _chatter,
    _crystals,
    _embossed,
)
MARKS: tuple[Layer, ...] = (
    _blotches,
    _rims,
    _scratches,
    _cracks,
    _pits,
    _stipple,
    _stringers,
    _steps,
    _dents,
)
