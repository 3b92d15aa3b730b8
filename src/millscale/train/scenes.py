"""Training scenes for detectors: an image turned and zoomed, or a mosaic of four, with their boxes.

Mosaics (Bochkovskiy et al. 2020, YOLOv4) show defects at other sizes and places, cut by other borders. A surface has
no up or down, so every picture may stand in any of its eight views.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from millscale.core.boxes import area, clipped
from millscale.core.types import Boxes
from millscale.runtime.views import boxes_in_view, view_of
from millscale.train.detection import PADDING, Targets
from millscale.train.pixels import Pixels

LEAST_SHARE = 0.25
"""Of a box, what must stay visible: less is neither defect nor background."""
LEAST_SIDE, LEAST_CUT_SIDE = 2.0, 10.0
"""In pixels, how wide a box must be, and what a border leaves of one: people do not draw slivers at a border."""
_WHOLE = 1 - 1e-4
_PASTED, _LARGEST, _TRIES, _BORDER = 2, 0.6, 10, 4
"""Defects pasted into a picture, their largest share of its sides, places tried for each, and how far they fade."""
_SPLIT = (0.3, 0.7)
"""Where the four pictures of a mosaic meet, as a share of the side."""


@dataclass(frozen=True)
class SceneConfig:
    """How scenes are made.

    Attributes:
        mosaic: share of the scenes that are made of four images, in [0, 1].
        paste: chance, in [0, 1], that an image with defects gets some of another image of one of its classes, where
            such a one is at hand.
        zoom: a single image is enlarged up to ``1 + zoom`` times.
        smallest, largest: scale of an image within a mosaic.
        stretch: largest change of the proportions, a share.
    """

    mosaic: float = 0.5
    paste: float = 0.0
    zoom: float = 0.4
    smallest: float = 0.6
    largest: float = 1.3
    stretch: float = 0.15


@dataclass(frozen=True, eq=False)
class Source:
    """What scenes are made from.

    Attributes:
        pixels: ``(N, h, w, 3)`` uint8, or ``(N, h, w, 1)`` where all are grey.
        boxes: of each image, in pixels of that array.
    """

    pixels: Pixels
    boxes: Sequence[Boxes]


@dataclass(frozen=True, eq=False)
class _Picture:
    """``(h, w, c)`` uint8 with boxes ``(k, 4)``, their classes and weights ``(k,)``."""

    pixels: Pixels
    xyxy: NDArray[np.float32]
    classes: NDArray[np.int64]
    weights: NDArray[np.float32]


def seen_in(boxes: Boxes, size: tuple[int, int]) -> Boxes:
    """What a picture of (height, width) ``size`` shows of boxes, some of which it cuts.

    A part is a defect of its own if it is a fair share of the box, or runs through half of the picture, as a piece of a
    long scratch does; less is to be ignored, and so is a sliver beside the border.
    """
    xyxy = clipped(boxes.xyxy, size)
    seen, drawn = (corners[:, 2:] - corners[:, :2] for corners in (xyxy, boxes.xyxy))
    shown = (seen > 0).all(1)
    fair = (area(xyxy) >= LEAST_SHARE * area(boxes.xyxy)) | (seen >= np.array(size[::-1]) / 2).any(1)
    sliver = ((seen < _WHOLE * drawn) & (seen < LEAST_CUT_SIDE)).any(1)
    ignored = np.asarray(boxes.difficult) | ~fair | sliver
    return Boxes(xyxy[shown], boxes.class_id[shown], difficult=ignored[shown])


def scenes(
    source: Source, rows: NDArray[np.int64], size: tuple[int, int], config: SceneConfig, rng: np.random.Generator
) -> tuple[Tensor, Targets]:
    """One scene for each of ``rows``; what else it shows is drawn from ``rows`` too.

    Args:
        source: the images.
        rows: ``(n,)`` which of them.
        size: (height, width) of the scenes.
        config: how.
        rng: decides everything random.

    Returns:
        ``(n, c, h, w)`` uint8 and their boxes.
    """

    def picture(row: int) -> _Picture:
        one = _turned(source, row, rng)
        if config.paste and rng.random() < config.paste:
            drawn = (int(r) for r in rng.choice(rows, 8) if r != row)
            donors = [r for r in drawn if np.isin(source.boxes[r].class_id, one.classes).any()]
            return _pasted(one, _turned(source, donors[0], rng), rng) if donors else one
        return one

    made = []
    for row in rows:
        if rng.random() < config.mosaic:
            others = rng.choice(rows, 3)
            made.append(_mosaic([picture(int(r)) for r in (row, *others)], size, config, rng))
        else:
            made.append(_cut(picture(int(row)), size, (1.0, 1.0 + config.zoom), config.stretch, rng))
    images = torch.from_numpy(np.stack([picture.pixels for picture in made])).permute(0, 3, 1, 2)
    return images, padded(made)


def _turned(source: Source, row: int, rng: np.random.Generator) -> _Picture:
    """The image in one of its eight views, or of its four flips where it is not square."""
    pixels, boxes = source.pixels[row], source.boxes[row]
    height, width = pixels.shape[:2]
    view = int(rng.integers(8 if height == width else 4))
    xyxy = boxes_in_view(boxes.xyxy, view, (height, width))
    assert boxes.difficult is not None  # noqa: S101 - Boxes fills it in
    return _Picture(view_of(pixels, view), xyxy, boxes.class_id, (~boxes.difficult).astype(np.float32))


def _pasted(onto: _Picture, other: _Picture, rng: np.random.Generator) -> _Picture:
    """A picture with some defects of another one, where it has none (Ghiasi et al., CVPR 2021, copy-paste).

    Defects that overlap others stay behind: their rectangle would bring parts of those along. A defect fades in over
    its border and takes on the brightness of where it comes to lie.
    """
    pixels, xyxy = onto.pixels.copy(), list(onto.xyxy)
    classes, weights = list(onto.classes), list(onto.weights)
    sides = np.array(pixels.shape[1::-1])
    for index in rng.permutation(len(other.classes))[:_PASTED]:
        low, high = np.floor(other.xyxy[index, :2]).astype(int), np.ceil(other.xyxy[index, 2:]).astype(int)
        low, high = low.clip(0), np.minimum(high, other.pixels.shape[1::-1])
        extent = high - low
        alone = not _meets(np.delete(other.xyxy, index, 0), low, high)
        if (
            not alone
            or other.weights[index] == 0
            or (extent < LEAST_CUT_SIDE).any()
            or (extent > sides * _LARGEST).any()
        ):
            continue
        place = _free_place(np.array(xyxy).reshape(-1, 4), extent, sides, rng)
        if place is None:
            continue
        there = pixels[place[1] : place[1] + extent[1], place[0] : place[0] + extent[0]]
        defect = other.pixels[low[1] : high[1], low[0] : high[0]].astype(np.float32)
        share = _fading(extent)[..., None]
        rim = 1 - share
        defect += (rim * (there - defect)).sum((0, 1)) / rim.sum()
        there[:] = np.clip(np.rint(share * defect + (1 - share) * there), 0, 255).astype(np.uint8)
        xyxy.append(other.xyxy[index] + np.array([*(place - low)] * 2, np.float32))
        classes.append(other.classes[index])
        weights.append(other.weights[index])
    return _Picture(
        pixels, np.array(xyxy, np.float32).reshape(-1, 4), np.array(classes, np.int64), np.array(weights, np.float32)
    )


def _free_place(
    boxes: NDArray[np.float32], extent: NDArray[np.int64], sides: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64] | None:
    """The corner (x, y) of a place of (width, height) ``extent`` that no box lies in; None where none was found."""
    for _ in range(_TRIES):
        place = rng.integers(sides - extent + 1)
        if not _meets(boxes, place, place + extent):
            return place
    return None


def _meets(boxes: NDArray[np.float32], low: NDArray[np.int64], high: NDArray[np.int64]) -> bool:
    """Whether any box has a part in the rectangle from ``low`` to ``high``, both (x, y)."""
    shared = np.minimum(boxes[:, 2:], high) - np.maximum(boxes[:, :2], low)
    return bool((shared > 0).all(1).any())


def _fading(extent: NDArray[np.int64]) -> NDArray[np.float32]:
    """``(h, w)`` from near 0 at the border to 1 within."""
    across, down = ((np.minimum(np.arange(n), np.arange(n)[::-1]) + 1) / (_BORDER + 1) for n in extent)
    return np.minimum(np.minimum.outer(down, across), 1).astype(np.float32)


def _mosaic(
    pictures: Sequence[_Picture], size: tuple[int, int], config: SceneConfig, rng: np.random.Generator
) -> _Picture:
    height, width = size
    y, x = (int(side * rng.uniform(*_SPLIT)) for side in size)
    canvas, parts = np.empty((height, width, pictures[0].pixels.shape[2]), np.uint8), []
    places = ((0, 0, y, x), (0, x, y, width - x), (y, 0, height - y, x), (y, x, height - y, width - x))
    for picture, (top, left, high, wide) in zip(pictures, places, strict=True):
        part = _cut(picture, (high, wide), (config.smallest, config.largest), config.stretch, rng)
        canvas[top : top + high, left : left + wide] = part.pixels
        shift = np.array([left, top, left, top], np.float32)
        parts.append(_Picture(part.pixels, part.xyxy + shift, part.classes, part.weights))
    return _Picture(
        canvas,
        np.concatenate([part.xyxy for part in parts]),
        np.concatenate([part.classes for part in parts]),
        np.concatenate([part.weights for part in parts]),
    )


def _cut(
    picture: _Picture, size: tuple[int, int], scales: tuple[float, float], stretch: float, rng: np.random.Generator
) -> _Picture:
    """A part of the picture, scaled to ``size``; the scale is larger where the picture is too small for it."""
    sides = picture.pixels.shape[:2]
    scale = np.exp(rng.uniform(*np.log(scales)))
    ratio = np.exp(rng.uniform(-1, 1) * np.log1p(stretch))
    wanted = (size[0] / (scale * ratio), size[1] / (scale / ratio))
    high, wide = (min(side, max(8, round(length))) for side, length in zip(sides, wanted, strict=True))
    top, left = int(rng.integers(sides[0] - high + 1)), int(rng.integers(sides[1] - wide + 1))
    pixels = _scaled(picture.pixels[top : top + high, left : left + wide], size)
    factor = np.array([size[1] / wide, size[0] / high] * 2)
    xyxy = ((picture.xyxy - np.array([left, top, left, top])) * factor).astype(np.float32)
    seen = clipped(xyxy, size)
    share = area(seen) / np.maximum(area(xyxy), 1e-6)
    side = (seen[:, 2:] - seen[:, :2]).min(1, initial=np.inf)
    clear = (share >= LEAST_SHARE) & (side >= np.where(share < _WHOLE, LEAST_CUT_SIDE, LEAST_SIDE))
    kept = share > 0
    weights = np.where(clear, picture.weights, 0).astype(np.float32)
    return _Picture(pixels, seen[kept], picture.classes[kept], weights[kept])


def _scaled(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    if pixels.shape[:2] == size:
        return pixels
    planes = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
    scaled = functional.interpolate(planes, size, mode="bilinear", antialias=True, align_corners=False)
    return scaled[0].permute(1, 2, 0).numpy()


def padded(pictures: Sequence[_Picture]) -> Targets:
    """The boxes of a batch as tensors, filled up to the longest list; one place at least."""
    n, most = len(pictures), max(1, *(len(picture.classes) for picture in pictures))
    boxes = torch.zeros(n, most, 4)
    classes = torch.full((n, most), PADDING, dtype=torch.int64)
    weights = torch.zeros(n, most)
    for i, picture in enumerate(pictures):
        count = len(picture.classes)
        boxes[i, :count] = torch.from_numpy(picture.xyxy)
        classes[i, :count] = torch.from_numpy(np.array(picture.classes))
        weights[i, :count] = torch.from_numpy(picture.weights)
    return Targets(boxes, classes, weights)
