"""Two images placed on each other: where they meet, and how much of them is shared."""

from dataclasses import dataclass

import numpy as np

from millscale.core.types import Image


@dataclass(frozen=True)
class Overlap:
    """Two images that show the same surface.

    Attributes:
        a, b: image ids, ``a`` before ``b`` in the manifest.
        fraction: shared area / area of the smaller image, in (0, 1].
        dx, dy: position of b's left-top corner in a's frame, pixels.
        exact: every pixel of the shared rectangle is identical; else the two agree but for compression,
            or for a part that was drawn over.
    """

    a: str
    b: str
    fraction: float
    dx: int
    dy: int
    exact: bool


@dataclass(frozen=True)
class Match:
    """An ``Overlap`` between images named by their index, as the searches exchange it."""

    a: int
    b: int
    fraction: float
    dx: int
    dy: int
    exact: bool


def shared_rectangle(
    a: tuple[int, ...], b: tuple[int, ...], dx: int, dy: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """The shared part of images of shapes ``a`` and ``b``, as slices ``[y, x]`` of each; None if apart."""
    top, bottom = max(0, dy), min(a[0], dy + b[0])
    left, right = max(0, dx), min(a[1], dx + b[1])
    if top >= bottom or left >= right:
        return None
    in_b = slice(top - dy, bottom - dy), slice(left - dx, right - dx)
    return (slice(top, bottom), slice(left, right)), in_b


def area_of_smaller(a: Image, b: Image) -> int:
    """Pixels of the smaller of two images."""
    return min(int(np.prod(a.shape[:2])), int(np.prod(b.shape[:2])))
