"""Defect-free strip: the steel under each kind of defect, with its grain and its light."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from millscale.data.synthetic.fields import Field, Range, Shape, between, clouds, grain


@dataclass(frozen=True)
class Steel:
    """The ranges from which one surface's look is drawn; amplitudes are grey levels at a brightness of 128.

    Attributes:
        level: mean brightness, grey levels.
        fine: deviation of the fine grain.
        fine_sigma: size of the fine grain, pixels.
        coarse: deviation of the roughness at 5 to 16 pixels.
        streak: deviation of the streaks that rolling leaves.
        streaks: whether they lie along the rolling direction (upright) or across it.
        light: relative deviation of the banded illumination.
        shade: probability that one side falls into shadow.
    """

    level: Range
    fine: Range
    fine_sigma: Range
    coarse: Range
    streak: Range
    streaks: Literal["along", "across"]
    light: Range
    shade: float


STEELS: dict[str, Steel] = {
    "crazing": Steel((95, 190), (15, 23), (0.45, 0.75), (6, 12), (4, 9), "along", (0.04, 0.14), 0.3),
    "inclusion": Steel((65, 200), (1.5, 4.5), (0.4, 1.0), (0, 2), (1.5, 4.5), "along", (0.03, 0.12), 0.35),
    "patches": Steel((75, 265), (14, 23), (0.55, 0.9), (4, 9), (3, 8), "along", (0.08, 0.25), 0.25),
    "pitted_surface": Steel((85, 250), (1.2, 4.0), (0.4, 1.1), (0, 3), (0.3, 2.5), "along", (0.04, 0.2), 0.35),
    "rolled-in_scale": Steel((75, 160), (5.5, 9), (0.4, 0.7), (2, 5), (4, 7), "across", (0.04, 0.13), 0.3),
    "scratches": Steel((55, 135), (1.5, 5), (0.4, 1.1), (0, 3), (2, 6), "along", (0.05, 0.2), 0.25),
}
"""The steel on which each defect kind is found, in the brightness and the roughness that it usually has."""


def render_steel(rng: np.random.Generator, shape: Shape, steel: Steel) -> Field:
    """Draw a defect-free surface in grey levels, not yet clipped to 8 bits; ``(H, W)`` float32."""
    fine_sigma = between(rng, steel.fine_sigma)
    fine = grain(rng, shape, fine_sigma, fine_sigma)
    coarse = clouds(rng, shape, between(rng, (5, 16)), between(rng, (5, 16)))
    texture = between(rng, steel.fine) * fine + between(rng, steel.coarse) * coarse
    texture = texture + between(rng, steel.streak) * _streaks(rng, shape, steel.streaks)
    surface: Field = between(rng, steel.level) * _light(rng, shape, steel) * (1 + texture / 128)
    return surface


def _streaks(rng: np.random.Generator, shape: Shape, direction: str) -> Field:
    """The long, thin marks of rolling: upright, or slightly slanted across the strip."""
    thin = between(rng, (0.7, 1.6))
    if direction == "across":
        return grain(rng, shape, thin, between(rng, (3, 9)), rng.normal(0, 0.25))
    return grain(rng, shape, between(rng, (6, 40)), thin)


def _light(rng: np.random.Generator, shape: Shape, steel: Steel) -> Field:
    """Illumination about 1: upright bands, a slow drift, sometimes a shadowed side."""
    bands = clouds(rng, shape, 1500, between(rng, (25, 80)))
    drift = clouds(rng, shape, between(rng, (120, 400)), between(rng, (80, 300)))
    light: Field = 1 + between(rng, steel.light) * (bands + drift)
    if rng.random() < steel.shade:
        light = light * _shadow(rng, shape)
    lit: Field = np.maximum(light, np.float32(0.15))
    return lit


def _shadow(rng: np.random.Generator, shape: Shape) -> Field:
    """A soft fall of light towards the left or the right side."""
    width = shape[1]
    x = np.arange(width, dtype=np.float32)
    distance = (x - between(rng, (0.3, 1.0)) * width) / between(rng, (12, 60))
    fall = 1 - between(rng, (0.2, 0.6)) / (1 + np.exp(-distance))
    row = fall if rng.random() < 0.5 else fall[::-1]
    return np.broadcast_to(row.astype(np.float32), shape)
