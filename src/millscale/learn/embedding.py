"""Features as points to be grouped: what differs between two pictures of one surface counts for little.

No label is used. What the audit found to show the same surface are pairs that must be alike: the directions in which
they differ all the same (light, place, focus) are what grouping should not look at. They are scaled down as
discriminant analysis scales the scatter within classes, each surface taken for a class (compare within-class
covariance normalisation, Hatch et al. 2006). Points are then drawn towards their neighbours of other groups.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DIMENSIONS = 32
NEIGHBOURS = 10
_PRINCIPAL = 256
"""Directions of most variance that are looked at."""
_SHRINKAGE = 0.3
"""How far the scatter within surfaces is drawn to a sphere."""
_EVENNESS = 0.25
"""Power of the variance that each dimension is divided by; 1 would be whitening."""
_ROUNDS = 2
_SMALL_CLUSTERS = 50
_CHUNK = 512


@dataclass(frozen=True, eq=False)
class Embedding:
    """Images as points on a sphere.

    Attributes:
        plain: ``(n, d)`` of unit length, each point from its image alone.
        groups: ``(n,)`` number of each image's group; images of one group are not independent, and are never counted as
            each other's neighbours.
    """

    plain: Floats
    groups: Ints

    def __len__(self) -> int:
        return len(self.plain)

    @cached_property
    def neighbours(self) -> tuple[Ints, Floats]:
        """``(n, k)`` the nearest images of other groups and their cosines; 0 and negative infinity where too few."""
        return neighbours(self.plain, self.groups, NEIGHBOURS)

    @cached_property
    def points(self) -> Floats:
        """``(n, d)`` of unit length, drawn towards their neighbours (query expansion, Radenović et al. 2018)."""
        index, cosine = self.neighbours
        weight = np.maximum(cosine, 0.0) ** 3
        weight /= np.maximum(weight.sum(1, keepdims=True), 1e-12)
        points = self.plain
        for _ in range(_ROUNDS):
            points = unit(points + np.einsum("nk,nkd->nd", weight, points[index]))
        return points

    def rows(self, rows: NDArray[np.integer]) -> "Embedding":
        """These images as if there were no others."""
        return Embedding(self.plain[rows], self.groups[rows])


def embed(
    vectors: ArrayLike, groups: ArrayLike, surfaces: ArrayLike, *, adapt: bool = False, seed: int = 0
) -> Embedding:
    """Points whose distances speak of kinds of surface.

    Args:
        vectors: ``(n, d)`` features of the images, the mean of their views.
        groups: ``(n,)`` group of each image, numbers or names.
        surfaces: ``(n,)`` which images show the same surface; several kinds may share a group, never a surface.
        adapt: also learn to overlook what differs within many small clusters of the points themselves
            (self-labelling, as Caron et al. 2018 do with a network; here the map is linear).
        seed: of those clusters.
    """
    _, numbers = np.unique(np.asarray(groups), return_inverse=True)
    principal = _principal(np.asarray(vectors, np.float64))
    scatter = _scatter_within(principal, surfaces)
    first = Embedding(_projected(principal, scatter), numbers.astype(np.int64))
    if not adapt:
        return first
    from millscale.learn.clustering.spherical_kmeans import fit

    small = fit(first, max(2, min(_SMALL_CLUSTERS, len(first) // 10)), seed)
    return Embedding(_projected(principal, scatter + _scatter_within(principal, small)), first.groups)


def unit(rows: Floats) -> Floats:
    """Rows of length 1; one of zeros stays."""
    lengths: Floats = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(lengths, 1e-12)


def neighbours(points: Floats, groups: Ints, count: int) -> tuple[Ints, Floats]:
    """``(n, count)`` the most similar rows of other groups and their cosines, the nearest first.

    ``count`` is at most ``n - 1`` here; where a row has fewer such neighbours, the cosine is negative infinity.
    """
    count = min(count, len(points) - 1)
    index, cosine = [], []
    for start in range(0, len(points), _CHUNK):
        likeness = points[start : start + _CHUNK] @ points.T
        likeness[groups[start : start + _CHUNK, None] == groups] = -np.inf
        nearest = np.argpartition(-likeness, count - 1, axis=1)[:, :count]
        found = np.take_along_axis(likeness, nearest, 1)
        order = np.argsort(-found, axis=1, kind="stable")
        index.append(np.take_along_axis(nearest, order, 1))
        cosine.append(np.take_along_axis(found, order, 1))
    return np.concatenate(index), np.concatenate(cosine)


def _principal(vectors: Floats) -> Floats:
    """``(n, <= 256)`` centred coordinates along the directions of most variance."""
    centred = vectors - vectors.mean(0)
    small = centred.T @ centred if centred.shape[1] <= len(centred) else centred @ centred.T
    rank = min(_PRINCIPAL, len(small), len(centred) - 1)
    values, axes = eigh(small, subset_by_index=[len(small) - rank, len(small) - 1])
    # Directions without variance are rounding.
    kept = values > 1e-10 * max(float(values[-1]), 1e-300)
    axes = axes[:, kept]
    found: Floats = centred @ axes if centred.shape[1] <= len(centred) else axes * np.sqrt(values[kept])
    return found if found.shape[1] else np.zeros((len(centred), 1))


def _scatter_within(points: Floats, parts: ArrayLike) -> Floats:
    """``(d, d)`` scatter within parts, of trace 1; zeros where no part has two images that differ."""
    _, part = np.unique(np.asarray(parts), return_inverse=True)
    sizes = np.bincount(part)
    sums = np.zeros((len(sizes), points.shape[1]))
    np.add.at(sums, part, points)
    rest = (points - (sums / sizes[:, None])[part])[sizes[part] > 1]
    scatter = rest.T @ rest
    trace = float(np.trace(scatter))
    # Copies of one file differ by rounding alone.
    return scatter / trace if trace > 1e-9 * float((points**2).sum()) else np.zeros_like(scatter)


def _projected(points: Floats, scatter: Floats) -> Floats:
    """Unit rows along the directions that vary most in all against ``scatter``."""
    size = points.shape[1]
    trace = float(np.trace(scatter))
    ball = np.eye(size) / size
    within = ball if trace == 0 else (1 - _SHRINKAGE) * scatter / trace + _SHRINKAGE * ball
    kept = min(DIMENSIONS, size)
    _, axes = eigh(points.T @ points, within, subset_by_index=[size - kept, size - 1])
    found = points @ axes
    return unit(found * np.maximum(found.var(0), 1e-300) ** (-_EVENNESS / 2))
