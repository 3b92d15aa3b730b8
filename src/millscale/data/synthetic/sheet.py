"""One synthetic sheet of strip: steel, defect, camera; with its mask and its boxes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import UsageError, unknown_name
from millscale.core.types import Boxes
from millscale.data.synthetic.boxes import boxes_of
from millscale.data.synthetic.defects import DEFECTS, Defect
from millscale.data.synthetic.fields import Field, Shape, between, soften
from millscale.data.synthetic.steel import STEELS, render_steel

CLASSES = tuple(DEFECTS)
"""The six defect kinds of NEU, spelt as there, in alphabetical order."""
GOOD = "good"
"""Defect-free strip."""
KINDS = (*CLASSES, GOOD)
_BRIGHTEST = 238
"""The camera is never so overexposed that the mean is brighter, grey levels; parts may still saturate."""
LEAST_SIDE = 32
"""Smaller surfaces cannot show a defect."""

_JOIN = {
    "crazing": 30,
    "inclusion": 8,
    "patches": 6,
    "pitted_surface": 30,
    "rolled-in_scale": 12,
    "scratches": 8,
}
"""How near the defects of one box lie, pixels: cracks, pits and scale are boxed by the swarm."""


@dataclass(frozen=True, eq=False)
class Sheet:
    """A rendered surface.

    Attributes:
        image: ``(H, W)`` uint8 grey.
        mask: ``(H, W)`` bool, the defect's pixels.
        boxes: round the defects, half-open pixels; ``class_id`` indexes ``CLASSES``.
        kind: one of ``KINDS``.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    boxes: Boxes
    kind: str

    def crop(self, x: int, y: int, size: int) -> "Sheet":
        """The square of ``size`` pixels whose top left corner is ``x, y``, with boxes in its own frame.

        Raises:
            UsageError: the square does not lie on the sheet.
        """
        height, width = self.image.shape
        if not (0 <= x <= width - size and 0 <= y <= height - size):
            raise UsageError(
                f"Crop: expected {size} × {size} pixels within {width} × {height}, "
                f"found its corner at {x}, {y}. Move it onto the sheet."
            )
        window = (slice(y, y + size), slice(x, x + size))
        return _sheet(self.image[window], self.mask[window], self.kind)


def render_sheet(kind: str | None, size: int | Shape, seed: int | Sequence[int]) -> Sheet:
    """Render a sheet of hot-rolled strip.

    Args:
        kind: one of ``CLASSES``; ``"good"`` or None for defect-free strip.
        size: side in pixels, or height and width.
        seed: equal seeds give equal sheets, bit for bit, on one machine.

    Raises:
        UsageError: the kind is unknown, or the size is below ``LEAST_SIDE``.
    """
    name, shape = kind or GOOD, (size, size) if isinstance(size, int) else size
    check_kind(name)
    _check_shape(shape)
    rng = np.random.default_rng((KINDS.index(name), *([seed] if isinstance(seed, int) else seed)))
    turned = name == "scratches" and rng.random() < 0.3
    surface, mask = _surface(rng, shape[::-1] if turned else shape, name)
    if turned:
        surface, mask = surface.T, mask.T
    return _sheet(_expose(rng, surface), mask, name)


def render_image(kind: str | None, seed: int | Sequence[int], size: int = 200) -> NDArray[np.uint8]:
    """One square image of a kind, ``(size, size)`` uint8 grey; see ``render_sheet``."""
    return render_sheet(kind, size, seed).image


def check_kind(kind: str) -> None:
    """Refuse a name that is not one of ``KINDS`` with a ``UsageError``."""
    if kind not in KINDS:
        raise unknown_name("surface kind", kind, KINDS)


def _check_shape(shape: Shape) -> None:
    """Refuse a surface that is too small."""
    if min(shape) < LEAST_SIDE:
        raise UsageError(
            f"Surface size: expected at least {LEAST_SIDE} pixels a side, found {shape[0]} × {shape[1]}. "
            "Ask for a larger surface."
        )


def _surface(rng: np.random.Generator, shape: Shape, kind: str) -> tuple[Field, NDArray[np.bool_]]:
    """Steel with its defect, in grey levels not yet clipped, and the defect's mask."""
    steel = STEELS[CLASSES[int(rng.integers(len(CLASSES)))] if kind == GOOD else kind]
    surface = render_steel(rng, shape, steel)
    if kind == GOOD:
        return surface, np.zeros(shape, dtype=np.bool_)
    defect: Defect = DEFECTS[kind](rng, shape)
    return surface * (1 + defect.change), defect.mask


def _expose(rng: np.random.Generator, surface: Field) -> NDArray[np.uint8]:
    """What the camera makes of a surface: exposure, a little blur, noise, 8 bits."""
    exposure = between(rng, (0.65, 1.25)) if rng.random() < 0.2 else between(rng, (0.93, 1.07))
    noise = rng.standard_normal(surface.shape, dtype=np.float32)
    exposure = min(exposure, _BRIGHTEST / max(float(surface.mean()), 1.0))
    blurred = soften(surface * np.float32(exposure), between(rng, (0.02, 0.12)))
    seen = blurred + between(rng, (0.4, 1.6)) * noise
    return np.clip(np.rint(seen), 0, 255).astype(np.uint8)


def _sheet(image: NDArray[np.uint8], mask: NDArray[np.bool_], kind: str) -> Sheet:
    """A sheet with its boxes, from copies of an image and a mask."""
    class_id = CLASSES.index(kind) if kind in CLASSES else 0
    boxes = boxes_of(mask, class_id, _JOIN.get(kind, 8))
    return Sheet(np.ascontiguousarray(image), np.ascontiguousarray(mask), boxes, kind)
