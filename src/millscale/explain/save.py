"""Explanations as files: one picture of an image, and one array a map."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from millscale.core.types import Image
from millscale.explain.explanation import Explanation
from millscale.explain.picture import draw_explanations


@dataclass(frozen=True)
class Saved:
    """Where the explanations of an image lie.

    Attributes:
        picture: PNG.
        maps: of each explanation its ``(H, W)`` float32 map in NumPy's format.
    """

    picture: Path
    maps: tuple[Path, ...]


def save(folder: Path, name: str, image: Image, explanations: Sequence[Explanation]) -> Saved:
    """Write ``NAME.explained.png``, and ``NAME.class.npy`` or ``NAME.box-1.npy`` and so on.

    Args:
        folder: made where it is missing.
        name: of the image, without its ending.
        image: ``(H, W, 3)`` RGB or ``(H, W)`` grey, uint8.
        explanations: of targets in it, at least one.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    picture = folder / f"{name}.explained.png"
    draw_explanations(image, explanations).save(picture)
    maps, boxes = list[Path](), 0
    for explanation in explanations:
        boxes += explanation.target.xyxy is not None
        what = "class" if explanation.target.xyxy is None else f"box-{boxes}"
        maps.append(folder / f"{name}.{what}.npy")
        np.save(maps[-1], explanation.heat, allow_pickle=False)
    return Saved(picture, tuple(maps))
