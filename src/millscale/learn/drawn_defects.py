"""Defects drawn on good images, for a network to learn what a defect looks like without having one.

Five kinds, of random size, shape and strength: spots, cracks, regions of another shade or roughness, pieces of another
image (CutPaste, Li et al. 2021; shapes as in DRÆM, Zavrtanik et al. 2021), and smears.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from millscale.core.types import Image

Plane = NDArray[np.float64]
_KINDS = {"spot": 0.28, "crack": 0.24, "region": 0.2, "paste": 0.2, "smear": 0.08}
_INSIDE = 0.3
"""Opacity from which a pixel belongs to the defect."""
_VISIBLE = 2.0
"""Grey levels that a pasted or smeared pixel must have changed by."""


def draw_defect(image: Image, other: Image, rng: np.random.Generator) -> tuple[Image, NDArray[np.bool_]]:
    """A copy of ``image`` with one defect, or a few of one kind.

    Args:
        image: ``(h, w, 3)`` uint8, free of defects.
        other: likewise, of any size: what is pasted comes from it.
        rng: decides everything.

    Returns:
        ``(h, w, 3)`` uint8 and ``(h, w)`` bool, where the defect is.
    """
    # Of a grey photograph one channel says all, at a third of the time.
    grey = all((each == each[:, :, :1]).all() for each in (image, other))
    before = (image[:, :, :1] if grey else image).astype(np.float64)
    light = gaussian_filter(before, (8, 8, 0))
    strength = np.exp(rng.uniform(np.log(0.08), np.log(0.7))) * (1 if rng.random() < 0.35 else -1)
    kind = rng.choice(list(_KINDS), p=list(_KINDS.values()))
    shape = image.shape[:2]
    if kind == "spot":
        opacity = np.max([_spot(shape, rng, 0.008, 0.12) for _ in range(rng.integers(1, 4))], axis=0)
        after = before + _over(opacity * strength * (1 + 0.2 * _cloud(shape, 20, rng))) * light
    elif kind == "crack":
        opacity = np.max([_crack(shape, rng) for _ in range(rng.integers(1, 4))], axis=0)
        after = before + _over(opacity * strength) * light
    elif kind == "region":
        opacity = _region(shape, rng)
        changed = light * (1 + 0.8 * strength) + (before - light) * np.exp(rng.uniform(-0.9, 0.9))
        after = before + _over(opacity) * (changed - before)
    elif kind == "paste":
        opacity = _region(shape, rng) if rng.random() < 0.4 else _spot(shape, rng, 0.03, 0.2)
        piece = _piece(other[:, :, :1] if grey else other, before, rng)
        after = before + _over(opacity) * (piece - before)
    else:
        opacity = _spot(shape, rng, 0.04, 0.2)
        sigma = rng.uniform(1, 4)
        after = before + _over(opacity) * (gaussian_filter(before, (sigma, sigma, 0)) - before)
    drawn = np.clip(np.rint(after), 0, 255).astype(np.uint8)
    mask = opacity > _INSIDE
    if kind in ("paste", "smear"):
        mask &= np.abs(gaussian_filter((after - before).mean(2), 0.7)) > _VISIBLE
    return np.repeat(drawn, 3, axis=2) if grey else drawn, np.asarray(mask)


def _over(opacity: Plane) -> Plane:
    return opacity[:, :, None]


def _cloud(shape: tuple[int, int], cells: float, rng: np.random.Generator) -> Plane:
    """Smooth noise of mean 0 and deviation 1 with about so many cells along the longer side."""
    coarse = rng.normal(size=[max(3, int(np.ceil(cells * side / max(shape))) + 1) for side in shape])
    factor = [side / n for side, n in zip(shape, coarse.shape, strict=True)]
    fine = zoom(coarse, factor, order=3, mode="nearest", grid_mode=True)
    return np.asarray((fine - fine.mean()) / (fine.std() + 1e-9))


def _spot(shape: tuple[int, int], rng: np.random.Generator, least: float, most: float) -> Plane:
    """An ellipse with an uneven, soft edge; radii are shares of the image's mean side."""
    height, width = shape
    longer = np.sqrt(height * width) * np.exp(rng.uniform(np.log(least), np.log(most)))
    shorter, angle = longer * np.exp(rng.uniform(-1.2, 0)), rng.uniform(0, np.pi)
    y, x = np.ogrid[:height, :width]
    down, across = y - rng.uniform(0, height), x - rng.uniform(0, width)
    along = (across * np.cos(angle) + down * np.sin(angle)) / longer
    aside = (down * np.cos(angle) - across * np.sin(angle)) / shorter
    radius = np.sqrt(along**2 + aside**2) + 0.25 * rng.uniform(0, 1) * _cloud(shape, rng.uniform(4, 24), rng)
    return np.asarray(np.clip((1 - radius) / rng.uniform(0.05, 0.5) + 0.5, 0, 1))


def _crack(shape: tuple[int, int], rng: np.random.Generator) -> Plane:
    """A thin curve that wanders."""
    steps = int(np.sqrt(shape[0] * shape[1]) * np.exp(rng.uniform(np.log(0.08), np.log(0.7))))
    bends = rng.normal(0, rng.uniform(0.02, 0.12), max(steps, 2))
    turning = np.convolve(bends, 0.85 ** np.arange(30))[: len(bends)]
    angle = rng.uniform(0, 2 * np.pi) + np.cumsum(turning)
    rows = (rng.uniform(0, shape[0]) + np.cumsum(np.sin(angle))).astype(int)
    columns = (rng.uniform(0, shape[1]) + np.cumsum(np.cos(angle))).astype(int)
    inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    line = np.zeros(shape)
    line[rows[inside], columns[inside]] = 1
    line = gaussian_filter(line, rng.uniform(0.5, 1.6))
    return np.asarray(np.clip(1.3 * line / max(line.max(), 1e-9), 0, 1))


def _region(shape: tuple[int, int], rng: np.random.Generator) -> Plane:
    """A large part of the image: one side of a line, a cloud, or a large spot."""
    height, width = shape
    kind = rng.integers(3)
    if kind == 0:
        angle = rng.integers(4) * np.pi / 2 + rng.normal(0, 0.08)
        y, x = np.ogrid[:height, :width]
        across = (x - rng.uniform(0.1, 0.9) * width) * np.cos(angle) + (y - rng.uniform(0.1, 0.9) * height) * np.sin(
            angle
        )
        return _soft((across + 3 * _cloud(shape, 8, rng)) / rng.uniform(1, 12))
    if kind == 1:
        return _soft((_cloud(shape, rng.uniform(1.5, 6), rng) - rng.uniform(0.3, 1.2)) / rng.uniform(0.03, 0.3))
    return _spot(shape, rng, 0.1, 0.35)


def _soft(values: Plane) -> Plane:
    return np.asarray(0.5 * (1 + np.tanh(values / 2)))


def _piece(other: Image, before: Plane, rng: np.random.Generator) -> Plane:
    """The other image, turned, shifted and repeated to the size of this one, at times in its shades."""
    source = other.astype(np.float64)
    if rng.random() < 0.5:
        source = source[::-1]
    if rng.random() < 0.5:
        source = source.transpose(1, 0, 2)
    rows, columns = (
        (np.arange(side) + rng.integers(own)) % own
        for side, own in zip(before.shape[:2], source.shape[:2], strict=True)
    )
    piece = source[rows[:, None], columns]
    if rng.random() < 0.5:
        piece = (piece - piece.mean()) / max(piece.std(), 1.0) * before.std() + before.mean()
    return np.asarray(piece)
