"""k-means of directions (Dhillon & Modha 2001) from several k-means++ starts (Arthur & Vassilvitskii 2007)."""

import numpy as np

from millscale.learn.embedding import Embedding, Floats, Ints, unit

DESCRIPTION = "k-means by cosine: round clusters"
COUNTED = True
_STARTS = 8
_ROUNDS = 100


def fit(embedding: Embedding, clusters: int, seed: int) -> Ints:
    """Each image to the nearest of ``clusters`` centres."""
    return grouped(embedding.points, clusters, seed)


def grouped(points: Floats, clusters: int, seed: int) -> Ints:
    """Numbers ``(n,)`` of the clusters of unit rows ``(n, d)``."""
    rng = np.random.default_rng(seed)
    best, labels = -np.inf, np.zeros(len(points), np.int64)
    for _ in range(_STARTS):
        found, gain = _settled(points, _centres(points, clusters, rng))
        if gain > best:
            best, labels = gain, found
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def _centres(points: Floats, clusters: int, rng: np.random.Generator) -> Floats:
    """``(k, d)`` rows far from one another: each the best of a few drawn by their distance from those before."""
    rows = [int(rng.integers(len(points)))]
    far = 1 - points @ points[rows[0]]
    for _ in range(1, clusters):
        weight = np.maximum(far, 0)
        total = weight.sum()
        share = weight / total if total > 0 else None
        drawn = rng.choice(len(points), 2 + int(np.log(clusters)), p=share)
        left = np.minimum(far, 1 - points[drawn] @ points.T)
        taken = int(left.sum(1).argmin())
        rows.append(int(drawn[taken]))
        far = left[taken]
    return points[rows]


def _settled(points: Floats, centres: Floats) -> tuple[Ints, float]:
    """Lloyd's iteration: the clusters and the sum of cosines with their centres."""
    labels = np.full(len(points), -1, np.int64)
    for _ in range(_ROUNDS):
        cosine = points @ centres.T
        found = cosine.argmax(1)
        if np.array_equal(found, labels):
            break
        labels = found
        members = np.eye(len(centres))[labels]
        # A centre that lost all its images stays where it is.
        centres = np.where(members.any(0)[:, None], unit(members.T @ points), centres)
    return labels, float(cosine[np.arange(len(points)), labels].sum())
