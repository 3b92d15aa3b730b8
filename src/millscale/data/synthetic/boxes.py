"""Boxes round the defects of a pixel mask."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from millscale.core.types import Boxes

Cell = tuple[int, int]


def boxes_of(mask: NDArray[np.bool_], class_id: int, join: int, least: int = 12) -> Boxes:
    """Tight boxes round the clusters of a mask.

    Args:
        mask: ``(H, W)`` bool.
        class_id: what every box gets.
        join: pixels fall into square cells of this side; marked pixels of touching cells make one cluster.
        least: clusters of fewer pixels get no box.

    Returns:
        Boxes in half-open pixels of the mask, in reading order of their clusters.
    """
    ys, xs = np.nonzero(mask)
    cells = list(zip((ys // join).tolist(), (xs // join).tolist(), strict=True))
    cluster_of = _clusters(cells)
    cluster = np.array([cluster_of[cell] for cell in cells], dtype=np.int64)
    kept = np.flatnonzero(np.bincount(cluster) >= least)
    found = [_box(ys[cluster == k], xs[cluster == k]) for k in kept]
    return Boxes(np.array(found, dtype=np.float32), np.full(len(found), class_id))


def _clusters(cells: Iterable[Cell]) -> dict[Cell, int]:
    """Number the groups of cells that touch, corners included."""
    left = dict.fromkeys(cells)
    cluster_of: dict[Cell, int] = {}
    count = 0
    while left:
        front = [next(iter(left))]
        del left[front[0]]
        while front:
            row, column = front.pop()
            cluster_of[row, column] = count
            around = [(row + dy, column + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
            for cell in around:
                if cell in left:
                    del left[cell]
                    front.append(cell)
        count += 1
    return cluster_of


def _box(ys: NDArray[np.intp], xs: NDArray[np.intp]) -> tuple[int, int, int, int]:
    """The tight half-open box of some pixels."""
    return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1
