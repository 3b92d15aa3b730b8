"""Groups of images without labels: how many there are, which image is in which, and how sure that is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from millscale.core import plugins
from millscale.learn.embedding import Embedding, Floats, Ints, unit
from millscale.metrics.clusters import UNSORTED, agreement_of

METHODS = "millscale.learn.clustering"
DEFAULT_METHOD = "spherical_kmeans"
MOST = 15
"""Clusters that are tried, where nobody says how many."""
MOST_IMAGES = 2000
"""Looked at to find the number; of more, a random part is."""
_DRAWS = 10
_CHUNK = 256

Fit = Callable[[Embedding, int, int], Ints]


@dataclass(frozen=True)
class Count:
    """What speaks for one number of clusters.

    Attributes:
        clusters: the number.
        silhouette: mean over the images, in [-1, 1].
        worse: by how much that is below the best number's.
        error: standard error of this difference, over groups.
        stability: mean adjusted Rand index with clusterings of one half of the groups.
    """

    clusters: int
    silhouette: float
    worse: float
    error: float
    stability: float

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``json.dumps``."""
        kept = {name: round(getattr(self, name), 4) for name in ("silhouette", "worse", "error", "stability")}
        return {"clusters": self.clusters, **kept}


@dataclass(frozen=True, eq=False)
class Clusters:
    """Images in groups, the largest first.

    Attributes:
        labels: ``(n,)`` int64 from 0 on; ``UNSORTED`` for an image that belongs to none.
        typicality: ``(n,)`` cosine with the mean of its cluster; NaN where unsorted.
        silhouette: ``(n,)`` in [-1, 1]: below 0 the image is nearer to another cluster; NaN where unsorted.
        second: ``(n,)`` the nearest cluster but its own; ``UNSORTED`` where there is no other.
        stability: mean adjusted Rand index with clusterings of one half of the groups.
        cluster_stability: ``(k,)`` mean overlap of each cluster with the most like one of such a clustering
            (Jaccard index; Hennig 2007 takes .75 and more for a stable cluster).
        evidence: what speaks for each number of clusters; empty where the number was given, or the method finds it.
    """

    labels: Ints
    typicality: Floats
    silhouette: Floats
    second: Ints
    stability: float
    cluster_stability: Floats
    evidence: tuple[Count, ...] = ()

    @property
    def count(self) -> int:
        """How many clusters."""
        return int(self.labels.max(initial=UNSORTED)) + 1


def cluster(
    embedding: Embedding, *, method: str = DEFAULT_METHOD, clusters: int | None = None, seed: int = 0
) -> Clusters:
    """Group the images of an embedding.

    Args:
        embedding: of four images or more.
        method: a registered method's name.
        clusters: how many; None looks for the number, at most 15.
        seed: of everything random.

    Raises:
        UsageError: unknown method.
    """
    plugin = plugins.load(METHODS, method)
    fit: Fit = plugin.fit
    seen = evidence(embedding, seed=seed) if clusters is None and plugin.COUNTED else ()
    wanted = clusters or (chosen(seen) if seen else 2)
    labels = largest_first(fit(embedding, wanted, seed))
    whole, parts = stability(embedding, labels, lambda half: fit(half, wanted, seed), seed=seed)
    (silhouette, second), *_ = silhouettes(embedding, [labels])
    typicality, count = _typicality(embedding, labels), int(labels.max()) + 1
    return Clusters(labels, typicality, silhouette, second, whole, parts[:count], seen)


def evidence(embedding: Embedding, *, seed: int = 0, most: int = MOST) -> tuple[Count, ...]:
    """What speaks for 2, 3 … ``most`` clusters, by spherical k-means of at most 2000 images."""
    embedding = _part(embedding, seed)
    fit: Fit = plugins.load(METHODS, DEFAULT_METHOD).fit
    numbers = range(2, min(most, len(embedding) - 1) + 1)
    found = [fit(embedding, number, seed) for number in numbers]
    values = np.stack([value for value, _ in silhouettes(embedding, found)])
    means = values.mean(1)
    best = values[means.argmax()]
    halves = _halves(embedding, seed, _DRAWS // 2)
    return tuple(
        Count(
            number,
            float(means[i]),
            float((best - values[i]).mean()),
            _error(best - values[i], embedding.groups),
            float(np.mean([agreement_of(found[i][rows], fit(half, number, seed)) for rows, half in halves])),
        )
        for i, number in enumerate(numbers)
    )


def chosen(seen: Sequence[Count]) -> int:
    """The smallest number whose silhouette is within one standard error of the best (Breiman et al. 1984)."""
    return next(count.clusters for count in seen if count.worse <= count.error)


def silhouettes(embedding: Embedding, partitions: Sequence[Ints]) -> list[tuple[Floats, Ints]]:
    """Silhouette (Rousseeuw 1987) of each image under each partition, and its nearest other cluster.

    Distances are those of the plain points. Images of one group are not compared: that crops of one photograph are
    alike says nothing of kinds. An image whose cluster holds no other group has a silhouette of 0.

    Args:
        embedding: of n images.
        partitions: each ``(n,)``, with ``UNSORTED`` for none.
    """
    members = [_members(labels) for labels in partitions]
    together = np.hstack(members)
    own = np.zeros((int(embedding.groups.max()) + 1, together.shape[1]))
    np.add.at(own, embedding.groups, together)
    others = np.maximum(together.sum(0) - own[embedding.groups], 0)
    sums = np.concatenate([_distances(embedding, start) @ together for start in range(0, len(embedding), _CHUNK)])
    means = np.divide(sums, others, out=np.full_like(sums, np.inf), where=others > 0)
    ends = np.cumsum([one.shape[1] for one in members])[:-1]
    parts = np.split(means, ends, axis=1)
    return [_silhouette(mean, labels) for mean, labels in zip(parts, partitions, strict=True)]


def _distances(embedding: Embedding, start: int) -> Floats:
    """``(<= 256, n)`` from these images to all; 0 within a group."""
    rows = slice(start, start + _CHUNK)
    cosine = embedding.plain[rows] @ embedding.plain.T
    distances: Floats = np.sqrt(np.maximum(2 - 2 * cosine, 0))
    distances[embedding.groups[rows, None] == embedding.groups] = 0
    return distances


def _silhouette(mean: Floats, labels: Ints) -> tuple[Floats, Ints]:
    """From the mean distances ``(n, k)`` to each cluster, infinite where there is nobody to compare with."""
    rows = np.flatnonzero(labels != UNSORTED)
    rest = mean.copy()
    rest[rows, labels[rows]] = np.inf
    second, beyond = rest.argmin(1), rest.min(1)
    value = np.full(len(labels), np.nan)
    value[rows] = 0.0
    known = rows[np.isfinite(mean[rows, labels[rows]]) & np.isfinite(beyond[rows])]
    within = mean[known, labels[known]]
    value[known] = (beyond[known] - within) / np.maximum(np.maximum(within, beyond[known]), 1e-12)
    return value, np.where(np.isfinite(beyond), second, UNSORTED).astype(np.int64)


def _error(differences: Floats, groups: Ints) -> float:
    """Standard error of the mean of ``(n,)`` differences, whole groups being independent."""
    sums = np.bincount(groups, differences - differences.mean())
    return float(np.sqrt((sums**2).sum()) / len(differences))


def stability(
    embedding: Embedding, labels: Ints, again: Callable[[Embedding], Ints], *, seed: int = 0
) -> tuple[float, Floats]:
    """How far clusterings of one half of the groups agree with the clusters, in all and for each cluster.

    Args:
        embedding: of n images.
        labels: ``(n,)`` their clusters.
        again: clusters an embedding as they were clustered.
        seed: of the halves.

    Returns:
        Mean adjusted Rand index, and ``(k,)`` the mean Jaccard index of each cluster with the most like one.
    """
    whole, parts, members = [], [], _members(labels)
    for rows, half in _halves(embedding, seed, _DRAWS):
        found = again(half)
        whole.append(agreement_of(labels[rows], found))
        own, other = members[rows], _members(found)
        shared = own.T @ other
        union = own.sum(0)[:, None] + other.sum(0) - shared
        best = (shared / np.maximum(union, 1)).max(1)
        parts.append(np.where(own.any(0), best, np.nan))
    known = np.isfinite(parts)
    total = np.where(known, parts, 0.0).sum(0)
    return float(np.mean(whole)), total / np.maximum(known.sum(0), 1)


def largest_first(labels: Ints) -> Ints:
    """The clusters numbered anew by their size."""
    kept = labels != UNSORTED
    order = np.argsort(-np.bincount(labels[kept]), kind="stable")
    return np.where(kept, np.argsort(order)[labels] if len(order) else UNSORTED, UNSORTED).astype(np.int64)


def _part(embedding: Embedding, seed: int) -> Embedding:
    """The embedding, or as many images of it as are looked at: of each group as many, as far as it has them."""
    if len(embedding) <= MOST_IMAGES:
        return embedding
    order = np.random.default_rng(seed).permutation(len(embedding))
    own = embedding.groups[order]
    by_group = np.argsort(own, kind="stable")
    place = np.empty(len(order), np.int64)  # of each image among those of its group
    place[by_group] = np.arange(len(order)) - np.searchsorted(own[by_group], own[by_group])
    return embedding.rows(np.sort(order[np.argsort(place, kind="stable")[:MOST_IMAGES]]))


def _halves(embedding: Embedding, seed: int, draws: int) -> list[tuple[Ints, Embedding]]:
    """Random halves of the groups, at least three images each: their rows, and the embedding of these alone."""
    rng, count = np.random.default_rng(seed), int(embedding.groups.max()) + 1
    sizes = np.bincount(embedding.groups)
    found = []
    for _ in range(draws):
        order = rng.permutation(count)
        enough = int(np.searchsorted(np.cumsum(sizes[order]), 3)) + 1
        rows = np.flatnonzero(np.isin(embedding.groups, order[: max(enough, -(-count // 2))]))
        found.append((rows, embedding.rows(rows)))
    return found


def _members(labels: Ints) -> Floats:
    """``(n, k)``: 1 where an image stands in a cluster, 0 elsewhere and for the unsorted."""
    found: Floats = np.eye(int(labels.max(initial=0)) + 1)[labels] * (labels != UNSORTED)[:, None]
    return found


def _typicality(embedding: Embedding, labels: Ints) -> Floats:
    centres = unit(_members(labels).T @ embedding.points)
    found: Floats = (embedding.points * centres[labels]).sum(1)
    return np.where(labels == UNSORTED, np.nan, found)
