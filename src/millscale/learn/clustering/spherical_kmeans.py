"""k-means of directions (Dhillon & Modha 2001), started as k-means++ starts it, the best of several starts."""

import numpy as np

from millscale.learn.embedding import Embedding, Floats, Ints, unit

DESCRIPTION = "k-means by cosine: round clusters of like size"
COUNTED = True
_STARTS = 8
_ROUNDS = 100


def fit(embedding: Embedding, clusters: int, seed: int) -> Ints:
    """Each image to the nearest of ``clusters`` centres."""
    return grouped(embedding.points, clusters, seed)


def grouped(points: Floats, clusters: int, seed: int) -> Ints:
    """Numbers ``(n,)`` of the clusters of unit rows ``(n, d)``."""
    from sklearn.cluster import kmeans_plusplus  # seconds to import

    best, labels = -np.inf, np.zeros(len(points), np.int64)
    for start in range(_STARTS):
        centres, _ = kmeans_plusplus(points, clusters, random_state=seed + start)
        found, gain = _settled(points, centres)
        if gain > best:
            best, labels = gain, found
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


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
