"""A large picture in windows of one size that overlap, and their maps as one map without seams."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from millscale.core.errors import UsageError
from millscale.core.types import Image
from millscale.imaging.preprocess import LETTERBOX_GREY, as_rgb

STEP = 8
"""Windows begin and end at multiples of it, in working pixels, so that their maps fit together."""
LEAST_TILE, MOST_TILE, MOST_ENLARGED = 64, 8192, 4
"""Pixels of a window's side, and how much larger the network may see it; else one picture could fill the memory."""
_SHARED = 0.25
"""Of a window's side, at least, with the next window."""

Window = tuple[int, int, int, int]
"""Left, top, right, bottom, half-open, in pixels of the whole picture: of the original, or at its working size."""


def spans(length: int, side: int, step: int = 1) -> list[tuple[int, int]]:
    """Where windows of ``side`` lie along ``length``, from end to end; one span is all of a shorter length.

    Neighbours share a quarter of their side at least, but for rounding to ``step``.
    """
    side = min(side, length)
    count = ceil((length - side) / (side * (1 - _SHARED))) + 1
    starts = np.rint(np.linspace(0, length - side, count) / step).astype(int) * step
    return [(int(start), int(start) + side) for start in starts]


def windows_of(size: tuple[int, int], side: int) -> list[Window]:
    """Windows of ``side`` pixels of the original on a picture of (height, width) ``size``, row by row."""
    rows, columns = (spans(length, side) for length in size)
    return [(left, top, right, bottom) for top, bottom in rows for left, right in columns]


def check_tile(tile: int, size: int) -> None:
    """Refuse windows of ``tile`` pixels, 0 for whole images, that a network sees at ``size`` pixels.

    Raises:
        UsageError: windows that are too small, by themselves or for the size.
    """
    if tile and not LEAST_TILE <= tile <= MOST_TILE:
        raise UsageError(f"tile: expected 0, for whole images, or {LEAST_TILE} to {MOST_TILE}, found {tile}.")
    if tile and size > MOST_ENLARGED * tile:
        raise UsageError(
            f"size: expected at most {MOST_ENLARGED} times the tile of {tile}, found {size}. Lower it, or raise the "
            f"tile to {-(-size // MOST_ENLARGED)}."
        )


def framed(image: Image, window: Window, side: int) -> Image:
    """The pixels of a window ``(side, side, 3)`` or ``(side, side)``, grey beyond the picture."""
    left, top, right, bottom = window
    part = image[top:bottom, left:right]
    if part.shape[:2] == (side, side):
        return np.ascontiguousarray(part)
    canvas = np.full((side, side, *image.shape[2:]), LETTERBOX_GREY, np.uint8)
    canvas[: part.shape[0], : part.shape[1]] = part
    return canvas


@dataclass(frozen=True)
class Tiling:
    """How pictures of any size are cut.

    Attributes:
        side: pixels of the original along the side of a window.
        working: pixels along the side of a window as the network takes it, a multiple of ``STEP``.
    """

    side: int
    working: int

    def size(self, original: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of the whole picture at its working size, multiples of ``STEP``."""
        height, width = (max(4, round(side * self.working / self.side / STEP)) * STEP for side in original)
        return height, width

    def windows(self, original: tuple[int, int]) -> list[Window]:
        """The windows of a picture of (height, width) ``original``, row by row; one is all of a small picture."""
        rows, columns = (spans(length, self.working, STEP) for length in self.size(original))
        return [(left, top, right, bottom) for top, bottom in rows for left, right in columns]

    def cut(self, image: Image, window: Window) -> Image:
        """``(h, w, 3)`` uint8, the pixels of a window, resized bilinearly and antialiased."""
        height, width = image.shape[:2]
        whole = self.size((height, width))
        scale = np.array([width / whole[1], height / whole[0]] * 2)
        left, top, right, bottom = np.asarray(window) * scale
        x, y = int(left), int(top)
        part = as_rgb(image[y : min(ceil(bottom), height), x : min(ceil(right), width)])
        box = (left - x, top - y, min(right - x, part.shape[1]), min(bottom - y, part.shape[0]))
        size = (window[2] - window[0], window[3] - window[1])
        return np.array(PIL.Image.fromarray(part).resize(size, PIL.Image.Resampling.BILINEAR, box=box))

    def blended(self, maps: Sequence[NDArray[np.float32]], original: tuple[int, int]) -> NDArray[np.float32]:
        """The maps of all windows, one value for ``STEP`` working pixels, as the map of the whole picture.

        Where windows overlap, the further from its window's edge the more a value weighs.
        """
        height, width = (side // STEP for side in self.size(original))
        total, weights = np.zeros((height, width)), np.zeros((height, width))
        for each, window in zip(maps, self.windows(original), strict=True):
            left, top, right, bottom = (side // STEP for side in window)
            weight = np.minimum.outer(_from_edge(bottom - top), _from_edge(right - left))
            total[top:bottom, left:right] += weight * each
            weights[top:bottom, left:right] += weight
        return (total / weights).astype(np.float32)


def _from_edge(count: int) -> NDArray[np.float64]:
    place = np.arange(count) + 0.5
    return np.asarray(np.minimum(place, count - place))
