"""How the scores of good images and of each kind of defect lie about the threshold, on one axis for all."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from millscale.metrics.anomaly import AnomalyTable
from millscale.metrics.classification import Floats, Ints
from millscale.report.drawn_boxes import class_color

BINS = 48
GOOD_COLOR, UNNAMED = "#8a95a1", "unnamed"
_TICKS = (0, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 100, 1000)


@dataclass(frozen=True, eq=False)
class ScoreRow:
    """The histogram of one kind of image.

    Attributes:
        name: "good", a kind of defect, or "unnamed" for defects whose kind is not known.
        color: to draw it in.
        defective: whether it should be rejected.
        counts: ``(B,)`` images in each bin.
        rejected: images at or above the threshold.
    """

    name: str
    color: str
    defective: bool
    counts: Ints
    rejected: int

    @property
    def images(self) -> int:
        return int(self.counts.sum())


@dataclass(frozen=True, eq=False)
class ScoreRows:
    """Histograms over an axis on which a raw score x stands at x / (x + threshold), the threshold in its middle.

    Attributes:
        rows: good images first, then each kind, without kinds that have none.
        edges: ``(B + 1,)`` of the bins, on the axis; the threshold is one of them.
        ticks: (place on the axis, multiple of the threshold).
    """

    rows: tuple[ScoreRow, ...]
    edges: Floats
    ticks: tuple[tuple[float, str], ...]


def score_rows(table: AnomalyTable, threshold: float) -> ScoreRows:
    """The histograms of ``table`` at ``threshold``, a raw score."""
    places = table.scores / (table.scores + threshold)
    edges = _edges(float(places.min()), float(places.max()))
    bad = np.asarray(table.defective, np.bool_)
    kinds = {kind: table.of_kind(kind) for kind in table.classes}
    unnamed = bad & ~np.any([*kinds.values(), np.zeros_like(bad)], axis=0)
    parts = [
        ("good", GOOD_COLOR, ~bad),
        *((kind, class_color(i), flags) for i, (kind, flags) in enumerate(kinds.items())),
        (UNNAMED, class_color(len(kinds)), unnamed),
    ]
    rejected = table.scores >= threshold
    rows = [_row(name, color, flags, places, edges, rejected, bad) for name, color, flags in parts if flags.any()]
    return ScoreRows(tuple(rows), edges, _ticks(edges))


def _edges(low: float, high: float) -> Floats:
    """Bins of one width from below the lowest to above the highest place, with an edge at the threshold, ½."""
    width = max(1.06 * (max(high, 0.5) - min(low, 0.5)), 1e-4) / BINS
    first, last = np.floor((min(low, 0.5) - 0.5) / width - 0.5), np.ceil((max(high, 0.5) - 0.5) / width + 0.5)
    edges: Floats = 0.5 + width * np.arange(first, last + 1)
    return edges


def _row(
    name: str,
    color: str,
    flags: NDArray[np.bool_],
    places: Floats,
    edges: Floats,
    rejected: NDArray[np.bool_],
    bad: NDArray[np.bool_],
) -> ScoreRow:
    counts = np.histogram(places[flags], edges)[0].astype(np.int64)
    return ScoreRow(name, color, bool(bad[flags].any()), counts, int((rejected & flags).sum()))


def _ticks(edges: Floats) -> tuple[tuple[float, str], ...]:
    """Round multiples of the threshold that stand apart; where too few do, evenly spaced ones."""
    low, high = max(0.0, edges[0]), min(edges[-1], 0.999)
    apart, chosen = (high - low) / 12, list[float]()
    for multiple in sorted(_TICKS, key=lambda one: abs(one - 1)):
        place = multiple / (multiple + 1)
        if low <= place <= high and all(abs(place - other) >= apart for other in chosen):
            chosen.append(place)
    if len(chosen) < 4:
        step = (high - low) / 5
        chosen = [0.5 + step * k for k in range(-5, 6) if low <= 0.5 + step * k <= high]
        decimals = int(np.ceil(-np.log10(4 * step)))  # at the threshold a step of the axis is 4 times as many multiples
        return tuple((place, f"{place / (1 - place):.{max(0, decimals)}f}×") for place in chosen)
    return tuple((place, f"{place / (1 - place):.3g}×") for place in sorted(chosen))
