"""The six defect kinds of hot-rolled strip, each as a change of reflectance and the pixels it covers.

The kinds and their names are those of the NEU surface defect database (Song and Yan, Applied Surface Science
285, 2013). Each is drawn from random shapes alone. Their ranges were set by hand, by looking at images of NEU
and at how well they are told apart by what was learned here; no pixel of a photograph enters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import pi

import numpy as np
from numpy.typing import NDArray

from millscale.data.synthetic.fields import (
    Field,
    Points,
    Range,
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


@dataclass(frozen=True, eq=False)
class Defect:
    """What a defect does to a surface.

    Attributes:
        change: ``(H, W)`` float32, relative change of brightness: -0.5 halves it, 1 doubles it.
        mask: ``(H, W)`` bool, the pixels that belong to the defect.
    """

    change: Field
    mask: NDArray[np.bool_]


def _count(rng: np.random.Generator, shape: Shape, per_image: Range) -> int:
    """How many, at least one, for a surface of this area; ``per_image`` is for 200 × 200 pixels."""
    return max(1, round(between(rng, per_image) * shape[0] * shape[1] / 40000))


def _place(rng: np.random.Generator, shape: Shape) -> tuple[float, float]:
    """A point anywhere on the surface, x, y."""
    return between(rng, (0, shape[1])), between(rng, (0, shape[0]))


def _place_in_band(
    rng: np.random.Generator, shape: Shape, centres: Sequence[float], spread: float
) -> tuple[float, float]:
    """A point near one of several upright bands, as defects that a roll or a nozzle makes lie."""
    centre = centres[int(rng.integers(len(centres)))]
    return float(np.clip(rng.normal(centre, spread), 0, shape[1] - 1)), between(rng, (0, shape[0]))


def _bands(rng: np.random.Generator, shape: Shape, per_image: Range) -> list[float]:
    """Where upright bands of defects lie, x in pixels."""
    count = max(1, round(between(rng, per_image) * shape[1] / 200))
    return [between(rng, (0.1, 0.9)) * shape[1] for _ in range(count)]


def crazing(rng: np.random.Generator, shape: Shape) -> Defect:
    """A net of fine, branching cracks, mostly across the strip, with a few torn-out fragments."""
    cracks = [crack for _ in range(_count(rng, shape, (13, 32))) for crack in _crack(rng, shape)]
    lines = draw(shape, cracks, between(rng, (0.5, 0.8)))
    depth = lines * np.clip(0.9 + 0.45 * clouds(rng, shape, 14, 14), 0.25, 1.2)
    torn = draw(shape, _fragments(rng, shape, (0, 5)), 0.8) * np.float32(0.7)
    return Defect(-np.maximum(depth, torn).clip(0, 0.9), np.maximum(lines, torn) > 0.12)


def _crack(rng: np.random.Generator, shape: Shape) -> list[Stroke]:
    """One crack and its branches."""
    heading = rng.normal(0, 0.35) if rng.random() < 0.75 else rng.normal(pi / 2, 0.4)
    strength = between(rng, (0.35, 1.0))
    path = walk(rng, _place(rng, shape), heading, int(rng.integers(5, 24)), 3.5, 0.7)
    cracks = [Stroke(path, strength, 2 if rng.random() < 0.35 else 1)]
    for _ in range(int(rng.integers(0, 3))):
        x, y = path[int(rng.integers(len(path)))]
        side = heading + float(rng.choice([-1, 1])) * between(rng, (0.6, 1.5))
        cracks.append(Stroke(walk(rng, (x, y), side, int(rng.integers(3, 10)), 3.0, 0.7), strength * 0.8, 1))
    return cracks


def _fragments(rng: np.random.Generator, shape: Shape, per_image: Range) -> list[Stroke]:
    """Small, dark, ragged spots."""
    count = round(between(rng, per_image) * shape[0] * shape[1] / 40000)
    return [
        spindle(rng, _place(rng, shape), between(rng, (4, 14)), between(rng, (3, 8)), between(rng, (0.5, 1)))
        for _ in range(count)
    ]


def inclusion(rng: np.random.Generator, shape: Shape) -> Defect:
    """Dark, ragged shapes drawn out along the strip: a few long ones, a swarm of flecks, or both."""
    style = rng.random()
    shapes = _long_inclusions(rng, shape) if style < 0.7 else []
    shapes += _flecks(rng, shape) if style > 0.45 else []
    alpha = draw(shape, shapes, between(rng, (0.6, 1.4)))
    body = 1 + 0.12 * grain(rng, shape, 8, 1.2)
    return Defect(-between(rng, (0.14, 0.42)) * alpha * body, alpha > 0.3)


def _long_inclusions(rng: np.random.Generator, shape: Shape) -> list[Stroke]:
    """Stringers of 60 to 260 pixels."""
    strokes = []
    for _ in range(_count(rng, shape, (1, 4))):
        x, y = _place(rng, shape)
        length = between(rng, (60, 260))
        top = (float(np.clip(x, 12, shape[1] - 12)), y - length / 2)
        strokes.append(spindle(rng, top, length, between(rng, (4, 22)), between(rng, (0.6, 1))))
    return strokes


def _flecks(rng: np.random.Generator, shape: Shape) -> list[Stroke]:
    """A swarm of short stringers round a few upright bands."""
    bands, spread = _bands(rng, shape, (1, 2.5)), between(rng, (4, 28))
    return [
        spindle(
            rng,
            _place_in_band(rng, shape, bands, spread),
            between(rng, (8, 42)),
            between(rng, (2.5, 7)),
            between(rng, (0.5, 1)),
        )
        for _ in range(_count(rng, shape, (7, 26)))
    ]


def patches(rng: np.random.Generator, shape: Shape) -> Defect:
    """Large, dark, irregular areas with soft, ragged edges and blackened cores."""
    form = clouds(rng, shape, between(rng, (45, 90)), between(rng, (30, 60)))
    form = form + 0.25 * clouds(rng, shape, 15, 13) + 0.1 * clouds(rng, shape, 5, 5)
    edge, soft = float(np.quantile(form, 1 - between(rng, (0.14, 0.38)))), between(rng, (0.15, 0.7))
    alpha = ramp(form, edge - soft / 2, soft)
    core = ramp(form, edge + 0.3, 0.6)
    torn = _torn_spots(rng, shape) if rng.random() < 0.3 else np.float32(0)
    change = -np.maximum(between(rng, (0.5, 0.8)) * alpha + 0.15 * core, 0.9 * torn)
    return Defect(change.astype(np.float32).clip(-0.95, 0), alpha > 0.5)


def _torn_spots(rng: np.random.Generator, shape: Shape) -> Field:
    """Clusters of small black spots."""
    return ramp(clouds(rng, shape, 6, 6) + 1.2 * clouds(rng, shape, 60, 40), 2.1, 0.4)


def pitted_surface(rng: np.random.Generator, shape: Shape) -> Defect:
    """Many small pits: a dense stipple, scattered larger pits, a corroded area, in any mixture."""
    chosen = rng.random(3) < (0.75, 0.55, 0.3)
    if not chosen[:2].any():
        chosen[int(rng.integers(2))] = True
    makers = (_stipple, _pits, _corrosion)
    depth = np.maximum.reduce([make(rng, shape) for make, wanted in zip(makers, chosen, strict=True) if wanted])
    return Defect(-depth, depth > 0.05)


def _stipple(rng: np.random.Generator, shape: Shape) -> Field:
    """Dense pits of one or two pixels, denser in some places than in others."""
    size = between(rng, (0.8, 1.5))
    rough = grain(rng, shape, size * between(rng, (1, 1.6)), size)
    where = np.clip(0.75 + clouds(rng, shape, 120, between(rng, (30, 90))), 0.1, 1)
    depth: Field = np.float32(between(rng, (0.12, 0.42))) * where * ramp(rough, between(rng, (-0.4, 1.2)), 1.2)
    return depth


def _pits(rng: np.random.Generator, shape: Shape) -> Field:
    """Scattered pits of 1 to 6 pixels radius."""
    bands, spread = _bands(rng, shape, (1, 3)), between(rng, (15, 90))
    largest, tall = between(rng, (1.5, 5)), between(rng, (1, 1.7))
    pits = []
    for _ in range(_count(rng, shape, (30, 200))):
        radius = 1 + (largest - 1) * rng.random() ** 2.5
        x, y = _place_in_band(rng, shape, bands, spread)
        pits.append(ellipse(x, y, radius, radius * tall, between(rng, (0.4, 1))))
    ragged = np.clip(1.1 + 0.4 * clouds(rng, shape, 3, 3), 0.5, 1.2)
    depth: Field = draw(shape, pits, between(rng, (0.8, 1.6))) * ragged * between(rng, (0.18, 0.5))
    return depth


def _corrosion(rng: np.random.Generator, shape: Shape) -> Field:
    """A darker area with a ragged, darker rim."""
    form = clouds(rng, shape, 90, 60) + 0.4 * clouds(rng, shape, 18, 14) + 0.25 * clouds(rng, shape, 5, 5)
    edge = float(np.quantile(form, between(rng, (0.8, 0.96))))
    inside, rim = ramp(form, edge, 0.1), ramp(-np.abs(form - edge), -between(rng, (0.12, 0.3)), 0.1)
    depth: Field = between(rng, (0.1, 0.3)) * inside + between(rng, (0, 0.35)) * rim
    return depth.astype(np.float32)


def rolled_in_scale(rng: np.random.Generator, shape: Shape) -> Defect:
    """Small ovals of scale pressed into the strip, each a stack of short dark dashes with light between."""
    bands, spread = _bands(rng, shape, (1, 2)), between(rng, (20, 90))
    dark: list[Stroke] = []
    light: list[Stroke] = []
    size = between(rng, (0.8, 1.5))
    for _ in range(_count(rng, shape, (18, 75))):
        _add_scale(rng, _place_in_band(rng, shape, bands, spread), size, dark, light)
    shadow, glint = draw(shape, dark, between(rng, (0.6, 0.9))), draw(shape, light, 0.8)
    change = between(rng, (0.1, 0.3)) * glint - between(rng, (0.4, 0.9)) * shadow
    return Defect(change.astype(np.float32), np.maximum(shadow, 0.7 * glint) > 0.22)


def _add_scale(
    rng: np.random.Generator, place: tuple[float, float], size: float, dark: list[Stroke], light: list[Stroke]
) -> None:
    """Append one oval of scale at ``place`` to the dark and the light strokes."""
    strength, slant, rows = between(rng, (0.35, 1)), rng.normal(0, 0.15), int(rng.integers(1, 5))
    length, pitch = size * between(rng, (4, 12)), size * between(rng, (2, 3))
    middle = place[1] + pitch * (rows - 1) / 2
    dark.insert(0, ellipse(place[0], middle, length / 2, pitch * rows / 2, strength / 3))
    for row in range(rows):
        x, y = place[0] + rng.normal(0, 1.5 * size), place[1] + pitch * row
        length *= between(rng, (0.6, 1.3))
        dark.append(_dash(x, y, length, slant, strength, 2 if rng.random() < 0.6 else 1))
        if rng.random() < 0.5:
            light.append(_dash(x, y + 1.5 * size, length * 0.8, slant, strength, 1))


def _dash(x: float, y: float, length: float, slant: float, strength: float, width: int) -> Stroke:
    """A short, nearly level line about ``x, y``."""
    dx, dy = length / 2, slant * length / 2
    return Stroke(np.array([[x - dx, y - dy], [x + dx, y + dy]]), strength, width)


def scratches(rng: np.random.Generator, shape: Shape) -> Defect:
    """Bright, straight lines along the strip, alone or in groups, whole or broken; some short and slanted."""
    lines = [line for _ in range(_count(rng, shape, (1, 4))) for line in _scratch_group(rng, shape)]
    if rng.random() < 0.25:
        lines += [_gouge(rng, shape) for _ in range(_count(rng, shape, (1, 5)))]
    strength = draw(shape, lines, between(rng, (0.4, 0.8)))
    beads = np.clip(0.85 + between(rng, (0.1, 0.7)) * clouds(rng, shape, between(rng, (4, 25)), 5), 0.1, 1.5)
    glow = draw(shape, lines, between(rng, (3, 8))) * between(rng, (0, 0.6))
    form = clouds(rng, shape, 14, 40) + 0.3 * clouds(rng, shape, 5, 8)
    smudge = max(0, between(rng, (-0.4, 0.25))) * ramp(form, 1.2, 0.5)
    change = between(rng, (0.7, 2.4)) * (strength * beads + glow * beads) - smudge
    return Defect(change.astype(np.float32), strength > 0.2)


def _scratch_group(rng: np.random.Generator, shape: Shape) -> list[Stroke]:
    """Parallel scratches, close together."""
    height, width = shape
    x, slope = between(rng, (0.05, 0.95)) * width, rng.normal(0, 0.012)
    lines = []
    for _ in range(1 + int(rng.geometric(0.45)) if rng.random() < 0.6 else 1):
        strength, thick = between(rng, (0.15, 1)), 1 + int(rng.geometric(0.6)) // 2
        for start, end in _spans(rng, height):
            lines.append(Stroke(_straight(rng, x, slope, start, end), strength, thick))
        x += between(rng, (2.5, 9))
    return lines


def _spans(rng: np.random.Generator, height: int) -> list[Range]:
    """From where to where a scratch runs: the whole length, or broken pieces of it."""
    if rng.random() < 0.55:
        return [(-2.0, height + 2.0)]
    starts = [between(rng, (-0.2, 0.8)) * height for _ in range(int(rng.integers(1, 4)))]
    return [(start, start + between(rng, (30, 140))) for start in starts]


def _straight(rng: np.random.Generator, x: float, slope: float, start: float, end: float) -> Points:
    """A nearly upright line with a little tremble."""
    y = np.arange(start, end + 50, 50)
    return np.stack([x + slope * y + rng.normal(0, 0.3, len(y)), y], axis=1)


def _gouge(rng: np.random.Generator, shape: Shape) -> Stroke:
    """A short, thick, slanted scratch."""
    return spindle(rng, _place(rng, shape), between(rng, (10, 50)), between(rng, (2, 8)), between(rng, (0.5, 1)))


DEFECTS: dict[str, Callable[[np.random.Generator, Shape], Defect]] = {
    "crazing": crazing,
    "inclusion": inclusion,
    "patches": patches,
    "pitted_surface": pitted_surface,
    "rolled-in_scale": rolled_in_scale,
    "scratches": scratches,
}
