"""Which images stand for a cluster, and which stand on the map."""

from dataclasses import dataclass

import numpy as np

from millscale.metrics.classification import Floats, Ints
from millscale.metrics.clusters import UNSORTED
from millscale.report.drawn_boxes import class_color
from millscale.report.report import ClusterReport
from millscale.report.thumbnails import Thumbnails, read_thumbnails

TYPICAL, DOUBTFUL, UNSORTED_SHOWN = 8, 8, 16
MOST_ON_MAP = 160
_APART = (0.044, 0.066)
"""Least distance of two pictures on the map, across and down."""
GREY = "#8a94a0"


@dataclass(frozen=True, eq=False)
class ShownClusters:
    """Rows of the images a report on clusters shows, each file read once.

    Attributes:
        typical: of each cluster, nearest to its centre first; no two of one group.
        doubtful: of each cluster, the lowest silhouette first; none of the typical, no two of one group.
        unsorted: of those in no cluster.
        mapped: that stand on the map as pictures.
        thumbnails: their images.
    """

    typical: tuple[Ints, ...]
    doubtful: tuple[Ints, ...]
    unsorted: Ints
    mapped: Ints
    thumbnails: Thumbnails


def choose_members(report: ClusterReport) -> ShownClusters:
    """Choose and read."""
    found = report.clusters
    typical, doubtful = [], []
    for number in range(found.count):
        rows = np.flatnonzero(found.labels == number)
        first = _of_groups(report, rows[np.argsort(-found.typicality[rows], kind="stable")], TYPICAL)
        rest = np.setdiff1d(rows, first)
        typical.append(first)
        doubtful.append(_of_groups(report, rest[np.argsort(found.silhouette[rest], kind="stable")], DOUBTFUL))
    unsorted = _of_groups(report, np.flatnonzero(found.labels == UNSORTED), UNSORTED_SHOWN)
    mapped = spread(report.place, found.labels)
    shown = np.concatenate([*typical, *doubtful, unsorted, mapped])
    images = read_thumbnails(report.paths[int(row)] for row in shown)
    return ShownClusters(tuple(typical), tuple(doubtful), unsorted, mapped, images)


def _of_groups(report: ClusterReport, ranked: Ints, count: int) -> Ints:
    """The first ``count`` of these rows, one a group; others of the same groups where there are too few."""
    groups = [report.groups[int(row)] for row in ranked]
    first = sorted({group: place for place, group in reversed(list(enumerate(groups)))}.values())
    order = [*first, *np.setdiff1d(np.arange(len(ranked)), first).tolist()]
    return ranked[np.array(order[:count], np.int64)].astype(np.int64)


def spread(place: Floats, labels: Ints, seed: int = 0) -> Ints:
    """Rows whose pictures do not cover one another on the map, drawn at random, each cluster in turn.

    Args:
        place: ``(n, 2)`` in [0, 1].
        labels: ``(n,)`` clusters.
        seed: of the draw.
    """
    order = np.random.default_rng(seed).permutation(len(place))
    turns: dict[int, int] = {}
    ranked = []
    for row in order:
        label = int(labels[row])
        turns[label] = turns.get(label, -1) + 1
        ranked.append((turns[label], label, int(row)))
    kept: list[int] = []
    for *_, row in sorted(ranked):
        near = np.abs(place[kept] - place[row]) < _APART
        if not near.all(1).any():
            kept.append(row)
        if len(kept) == MOST_ON_MAP:
            break
    return np.array(kept, np.int64)


def cluster_color(label: int) -> str:
    """The colour of a cluster, grey for none."""
    return GREY if label == UNSORTED else class_color(label)


def cluster_name(label: int) -> str:
    """What a cluster is called on the page and in the PNG files."""
    return "unsorted" if label == UNSORTED else f"cluster {label + 1}"
