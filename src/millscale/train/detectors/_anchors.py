"""The default boxes that Faster R-CNN and SSD start from: every place of every map holds the same few shapes.

Their sides are shares of the image's side, as in SSD (Liu et al. 2016), so that they fit at any working size.
On the boxes of NEU-DET the best shape has an overlap (IoU) of 0.82 on average and below 0.6 for one box in
150; with the usual three ratios 0.5, 1, 2 it would be below 0.5 for one in seven, the scratches.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LEVELS = 4
_LEAST = 0.1
"""Side of the smallest square, as a share of the image's side; each level doubles it, in two steps of √2."""
_RATIOS = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)
"""Height over width. Symmetric, because quarter turns are among the augmentations."""
PER_PLACE = 2 * len(_RATIOS)


def anchor_boxes(maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """The default boxes of all maps, fine to coarse, each row by row, the shapes of a place one after another.

    Computed outside torch, so that a traced graph holds them as a constant.

    Args:
        maps: ``LEVELS`` maps ``(n, c, h_k, w_k)``, of which only the shapes are used.
        size: (height, width) of the images.

    Returns:
        ``(A, 4)`` float32 left, top, right, bottom in pixels, on the device of the maps; some reach over the edge.
    """
    grids = [(int(m.shape[-2]), int(m.shape[-1])) for m in maps]
    boxes = [_of_level(level, grid, size) for level, grid in enumerate(grids)]
    return torch.from_numpy(np.concatenate(boxes)).to(maps[0].device)


def _of_level(level: int, grid: tuple[int, int], size: tuple[int, int]) -> NDArray[np.float32]:
    rows, columns = ((np.arange(n) + 0.5) * side / n for n, side in zip(grid, size, strict=True))
    y, x = np.meshgrid(rows, columns, indexing="ij")
    centres = np.stack([x, y], -1).reshape(-1, 1, 2)
    half = _shapes(level, size) / 2
    return np.concatenate([centres - half, centres + half], -1).reshape(-1, 4).astype(np.float32)


def _shapes(level: int, size: tuple[int, int]) -> NDArray[np.float64]:
    """(width, height) of the shapes of a level, ``(PER_PLACE, 2)``, none larger than the image."""
    side = np.sqrt(size[0] * size[1]) * _LEAST * 2.0**level
    stretch = np.sqrt(_RATIOS)
    shapes = [np.stack([s / stretch, s * stretch], -1) for s in (side, side * np.sqrt(2))]
    found: NDArray[np.float64] = np.minimum(np.concatenate(shapes), (size[1], size[0]))
    return found


def image_size(images: Tensor) -> tuple[int, int]:
    """(height, width) of ``(n, c, h, w)``, as plain numbers also where a graph is traced."""
    return int(images.shape[-2]), int(images.shape[-1])
