"""Which images a report shows."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from millscale.metrics.classification import Ints
from millscale.metrics.predictions import PredictionTable
from millscale.report.thumbnails import Thumbnails, read_thumbnails


def even_sample(table: PredictionTable, count: int, seed: int = 0) -> Ints:
    """Up to ``count`` labelled rows drawn at random, one class after the other in turn."""
    rng = np.random.default_rng(seed)
    turns = []
    for index in range(len(table.classes)):
        rows = rng.permutation(np.flatnonzero(table.y_true == index))
        turns += [(turn, index, int(row)) for turn, row in enumerate(rows[:count])]
    return np.array([row for *_, row in sorted(turns)[:count]], dtype=np.int64)


def closest_calls(table: PredictionTable, count: int) -> Ints:
    """The ``count`` right rows the model was least sure of, the least sure first."""
    right = np.flatnonzero((table.y_true >= 0) & (table.predicted == table.y_true))
    return right[np.argsort(table.confidence[right], kind="stable")][:count].astype(np.int64)


def neighbours_of(table: PredictionTable, row: int, count: int) -> list[tuple[int, float]]:
    """Up to ``count`` nearest training images of ``row`` as (index into ``nearest.ids``, similarity)."""
    if table.nearest is None:
        return []
    pairs = zip(table.nearest.index[row], table.nearest.similarity[row], strict=True)
    return [(int(index), float(similarity)) for index, similarity in pairs if index >= 0][:count]


@dataclass(frozen=True, eq=False)
class Shown:
    """The images a report shows, each file read once.

    Attributes:
        grid: rows of the first picture.
        gallery: rows with an error, the most confident first; without errors, the closest calls.
        thumbnails: their images and those of their nearest training images.
    """

    grid: Ints
    gallery: Ints
    thumbnails: Thumbnails


def choose(table: PredictionTable, *, grid: int, errors: int, calls: int, nearest: int, seed: int = 0) -> Shown:
    """Choose and read: ``grid`` images, and up to ``errors`` errors or else ``calls`` closest calls."""
    chosen = even_sample(table, grid, seed)
    gallery = table.errors[:errors] if len(table.errors) else closest_calls(table, calls)
    paths = [table.paths[row] for row in chosen] + gallery_paths(table, gallery, nearest)
    return Shown(chosen, gallery, read_thumbnails(paths))


def gallery_paths(table: PredictionTable, rows: Ints, nearest: int) -> list[Path]:
    """The files that a gallery of these rows shows: the images and their nearest training images."""
    judged = [table.paths[int(row)] for row in rows]
    if table.nearest is None:
        return judged
    near = [index for row in rows for index, _ in neighbours_of(table, int(row), nearest)]
    return judged + [table.nearest.paths[index] for index in near]
