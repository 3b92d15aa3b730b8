"""Random smooth masks: what a model gets to see of an image, many times over.

Source: Petsiuk, Das, Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import PIL.Image
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class MaskSeries:
    """Masks that are drawn when they are asked for, since all of them together would fill the memory.

    They come in opposite pairs, a mask and what it hides: every pixel is then seen exactly half the time, and the
    noise that the common part of the two answers would put into a map is gone.

    Attributes:
        size: (height, width) of the image, in pixels.
        cell: side of a cell, in pixels.
        grids: ``(P, rows, columns)`` bool, visible cells of the first of each pair.
        shifts: ``(P, 2)`` int64, pixels by which each pair's grid lies above and left of the image, so that no cell
            border stands still.
    """

    size: tuple[int, int]
    cell: int
    grids: NDArray[np.bool_]
    shifts: NDArray[np.int64]

    def __len__(self) -> int:
        return 2 * len(self.grids)

    def __iter__(self) -> Iterator[Floats]:
        """Masks ``(H, W)`` float32 in [0, 1]; 1 is seen, 0 is hidden."""
        for grid, shift in zip(self.grids, self.shifts, strict=True):
            mask = self._drawn(grid, shift)
            yield mask
            yield 1 - mask

    def _drawn(self, grid: NDArray[np.bool_], shift: NDArray[np.int64]) -> Floats:
        rows, columns = grid.shape
        picture = PIL.Image.fromarray(grid.astype(np.float32))
        large = picture.resize((columns * self.cell, rows * self.cell), PIL.Image.Resampling.BILINEAR)
        top, left = shift
        whole: Floats = np.clip(np.asarray(large), 0, 1)
        return whole[top : top + self.size[0], left : left + self.size[1]]


def random_masks(size: tuple[int, int], count: int, cells: int, rng: np.random.Generator) -> MaskSeries:
    """Masks whose cells are seen or hidden by the toss of a coin.

    Args:
        size: (height, width) of the image.
        count: of masks, even.
        cells: along the longer side.
        rng: tosses.
    """
    cell = -(-max(size) // cells)
    rows, columns = (-(-side // cell) + 1 for side in size)
    grids = rng.random((count // 2, rows, columns)) < 0.5
    return MaskSeries(size, cell, grids, rng.integers(0, cell, (count // 2, 2)))
