"""How well groups found without labels agree with known classes, or with one another."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from millscale.core.errors import DataError
from millscale.metrics.classification import Floats, Ints

UNSORTED = -1
"""Number of the images that a method puts into no cluster."""


@dataclass(frozen=True)
class ClusterScores:
    """Clusters against known classes.

    Attributes:
        accuracy: share of images whose cluster is the one matched to their class; clusters and classes are matched one
            to one so that this is highest (Kuhn 1955). Images that are unsorted, or in a cluster too many, are wrong.
        nmi: mutual information over the mean of the two entropies, in [0, 1]; the unsorted count as one cluster.
        ari: adjusted Rand index (Hubert & Arabie 1985): 1 for the same partition, 0 for chance.
    """

    accuracy: float
    nmi: float
    ari: float

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``json.dumps``."""
        return {"accuracy": round(self.accuracy, 6), "nmi": round(self.nmi, 6), "ari": round(self.ari, 6)}


def cluster_scores(truth: ArrayLike, clusters: ArrayLike) -> ClusterScores:
    """Score clusters against classes.

    Args:
        truth: ``(n,)`` class indices, 0 or more.
        clusters: ``(n,)`` cluster numbers, ``UNSORTED`` for none.

    Raises:
        DataError: no image, or shapes that do not match.
    """
    counts = contingency(truth, clusters)
    numbers = np.unique(np.asarray(clusters))
    sorted_counts = counts[:, numbers != UNSORTED]
    pairs = matched(sorted_counts) if sorted_counts.size else ()
    hits = sum(int(sorted_counts[row, column]) for row, column in pairs)
    return ClusterScores(hits / int(counts.sum()), _nmi(counts), _adjusted_rand(counts))


def agreement_of(first: ArrayLike, second: ArrayLike) -> float:
    """Adjusted Rand index of two partitions ``(n,)`` of the same images."""
    return _adjusted_rand(contingency(first, second))


def contingency(rows: ArrayLike, columns: ArrayLike) -> Ints:
    """Counts ``(R, C)`` of the images in each pair of groups, groups in the order of their numbers.

    Raises:
        DataError: no image, or shapes that do not match.
    """
    a, b = np.asarray(rows), np.asarray(columns)
    if a.ndim != 1 or a.shape != b.shape or not len(a):
        raise DataError(f"Expected two partitions (n,) of the same images, found {a.shape} and {b.shape}.")
    (left, i), (right, j) = np.unique(a, return_inverse=True), np.unique(b, return_inverse=True)
    counts = np.zeros((len(left), len(right)), np.int64)
    np.add.at(counts, (i, j), 1)
    return counts


def matched(gain: ArrayLike) -> tuple[tuple[int, int], ...]:
    """Rows and columns paired one to one so that the sum of ``gain`` is highest: the Hungarian method (Kuhn 1955).

    Args:
        gain: ``(R, C)`` finite; the pairs are as many as its shorter side.

    Returns:
        Pairs (row, column), by row.
    """
    costs = -np.asarray(gain, np.float64)
    if costs.shape[0] > costs.shape[1]:
        return tuple(sorted((row, column) for column, row in matched(-costs.T)))
    rows, columns = costs.shape
    # Shortest augmenting paths under potentials u and v; place 0 stands for "none yet".
    u, v, owner = np.zeros(rows + 1), np.zeros(columns + 1), np.zeros(columns + 1, np.int64)
    for row in range(1, rows + 1):
        owner[0], at = row, 0
        least, way = np.full(columns + 1, np.inf), np.zeros(columns + 1, np.int64)
        used = np.zeros(columns + 1, bool)
        while owner[at]:
            used[at] = True
            free = np.flatnonzero(~used)
            reduced = costs[owner[at] - 1, free - 1] - u[owner[at]] - v[free]
            better = reduced < least[free]
            least[free[better]], way[free[better]] = reduced[better], at
            following = int(free[np.argmin(least[free])])
            step = least[following]
            u[owner[used]] += step
            v[used] -= step
            least[free] -= step
            at = following
        while at:
            owner[at], at = owner[way[at]], int(way[at])
    return tuple(sorted((int(owner[j]) - 1, j - 1) for j in range(1, columns + 1) if owner[j]))


def _entropy(shares: Floats) -> float:
    kept = shares[shares > 0]
    return float(-(kept * np.log(kept)).sum())


def _nmi(counts: Ints) -> float:
    shares = counts / counts.sum()
    rows, columns = _entropy(shares.sum(1)), _entropy(shares.sum(0))
    mean = (rows + columns) / 2
    return 1.0 if mean == 0 else max(0.0, (rows + columns - _entropy(shares.ravel())) / mean)


def _adjusted_rand(counts: Ints) -> float:
    def pairs(sizes: Ints) -> float:
        return float((sizes * (sizes - 1.0) / 2).sum())

    both, rows, columns = pairs(counts), pairs(counts.sum(1)), pairs(counts.sum(0))
    everything = pairs(counts.sum().reshape(1))
    if not everything:
        return 1.0
    expected, most = rows * columns / everything, (rows + columns) / 2
    return 1.0 if most == expected else (both - expected) / (most - expected)
