"""Which images a report on an anomaly detector shows."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from millscale.core.types import Image
from millscale.metrics.anomaly import AnomalyTable
from millscale.metrics.classification import Ints
from millscale.report.heat import laid_over, read_outline
from millscale.report.thumbnails import read_thumbnails

MOST = 6
SIDE = 320
GOOD = -1


@dataclass(frozen=True, eq=False)
class Case:
    """An image that is shown.

    Attributes:
        row: of the table.
        index: which of the table's classes it shows; -1 where it is good or its kind unknown.
        defective, rejected: the truth, and what the threshold says.
        level: its score in multiples of the threshold.
        image: small, or None where the file is gone.
        overlay: the same under its map with the defect outlined; None where there is neither map nor mask.
    """

    row: int
    index: int
    defective: bool
    rejected: bool
    level: float
    image: Image | None
    overlay: Image | None


@dataclass(frozen=True, eq=False)
class ShownCases:
    """The images that a report on an anomaly detector shows, each file read once.

    Attributes:
        sample: defective images drawn at random, each kind in turn.
        escapes: defective images that pass, the lowest scores first, each kind in turn; if none, those nearest to it.
        alarms: good images that are rejected, the highest scores first; if none, those nearest to it.
        escape_images, alarm_images: how many there are of either.
    """

    sample: tuple[Case, ...]
    escapes: tuple[Case, ...]
    alarms: tuple[Case, ...]
    escape_images: int
    alarm_images: int


@dataclass(frozen=True)
class _Rows:
    sample: list[int]
    escapes: list[int]
    alarms: list[int]


def pictured(table: AnomalyTable, threshold: float) -> tuple[str, ...]:
    """The ids of the images that the report will show: whose maps to keep for it, at most 18."""
    rows = _choose(table, threshold)
    return tuple(table.ids[row] for row in dict.fromkeys([*rows.sample, *rows.escapes, *rows.alarms]))


def choose_cases(table: AnomalyTable, threshold: float, maps: Mapping[str, NDArray[np.float32]]) -> ShownCases:
    """Choose and read.

    Args:
        table: the scores.
        threshold: raw score from which on an image is rejected.
        maps: raw anomaly maps by image id, as many as there are.
    """
    rows = _choose(table, threshold)
    cases = {row: _case(table, row, threshold, maps) for row in {*rows.sample, *rows.escapes, *rows.alarms}}
    bad, rejected = np.asarray(table.defective, np.bool_), table.scores >= threshold
    return ShownCases(
        sample=tuple(cases[row] for row in rows.sample),
        escapes=tuple(cases[row] for row in rows.escapes),
        alarms=tuple(cases[row] for row in rows.alarms),
        escape_images=int((bad & ~rejected).sum()),
        alarm_images=int((~bad & rejected).sum()),
    )


def _choose(table: AnomalyTable, threshold: float, seed: int = 0) -> _Rows:
    rng, bad = np.random.default_rng(seed), np.asarray(table.defective, np.bool_)
    rejected = table.scores >= threshold
    rising = np.argsort(table.scores, kind="stable").astype(np.int64)
    escapes, alarms = bad & ~rejected, ~bad & rejected
    low = rising[(escapes if escapes.any() else bad)[rising]]
    high = rising[::-1][(alarms if alarms.any() else ~bad)[rising[::-1]]]
    return _Rows(
        sample=_in_turn(table, rng.permutation(np.flatnonzero(bad))),
        escapes=_in_turn(table, low),
        alarms=high[:MOST].tolist(),
    )


def _in_turn(table: AnomalyTable, rows: Ints) -> list[int]:
    """The first row of each kind, then the second of each, …, in the order given."""
    turns: dict[str | None, int] = {}
    ranked = []
    for place, row in enumerate(rows.tolist()):
        kind = table.kinds[row]
        turns[kind] = turns.get(kind, 0) + 1
        ranked.append((turns[kind], place, row))
    return [row for *_, row in sorted(ranked)[:MOST]]


def _case(table: AnomalyTable, row: int, threshold: float, maps: Mapping[str, NDArray[np.float32]]) -> Case:
    path, kind, defective = table.paths[row], table.kinds[row], bool(table.defective[row])
    image, heat, mask = read_thumbnails([path], SIDE)[path], maps.get(table.ids[row]), read_outline(table.masks[row])
    plain = image is None or (heat is None and mask is None)
    return Case(
        row=row,
        index=table.classes.index(kind) if defective and kind else GOOD,
        defective=defective,
        rejected=bool(table.scores[row] >= threshold),
        level=float(table.scores[row]) / threshold,
        image=image,
        overlay=None if plain or image is None else laid_over(image, heat, mask, threshold),
    )
