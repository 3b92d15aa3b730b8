"""Spectral clustering (Ng, Jordan & Weiss 2001) of the graph of neighbours, regularised (Amini et al. 2013).

Overlapping crops are no neighbours here, else every photograph would be a cluster of its own.
"""

import numpy as np
from scipy.linalg import eigh
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import LinearOperator, eigsh

from millscale.learn.clustering.spherical_kmeans import grouped
from millscale.learn.embedding import Embedding, Floats, Ints, neighbours, unit

DESCRIPTION = "cuts the graph of nearest neighbours: clusters of any shape"
COUNTED = True
_NEIGHBOURS = 40
"""Where there are twenty times as many images."""
_LEAST = 5
_DENSE = 400
"""Up to so many images, all eigenvectors are computed at once."""


def fit(embedding: Embedding, clusters: int, seed: int) -> Ints:
    """k-means of the rows of the leading eigenvectors."""
    return grouped(unit(_eigenvectors(_graph(embedding), clusters)), clusters, seed)


def _graph(embedding: Embedding) -> csr_matrix:
    """``(n, n)`` 1 for neighbours of each other, one half where only one is the other's."""
    wanted = min(_NEIGHBOURS, max(_LEAST, len(embedding) // 20))
    index, cosine = neighbours(embedding.plain, embedding.groups, wanted)
    n, k = index.shape
    linked = np.isfinite(cosine).ravel().astype(np.float64)
    graph = csr_matrix((linked, (np.repeat(np.arange(n), k), index.ravel())), shape=(n, n))
    both: csr_matrix = (graph + graph.T) / 2
    return both


def _eigenvectors(graph: csr_matrix, count: int) -> Floats:
    """Leading eigenvectors of the normalised graph, to which a faint link between any two images is added.

    Without it, a few images that nobody is linked to would be the first cluster.
    """
    degree = np.asarray(graph.sum(1)).ravel()
    faint = float(degree.mean())
    scale = 1 / np.sqrt(np.maximum(degree + faint, 1e-12))
    n = len(degree)

    def times(column: Floats) -> Floats:
        scaled = scale * column.ravel()
        linked: Floats = graph @ scaled
        pulled: Floats = scale * (linked + faint / n * scaled.sum())
        return pulled

    if n <= max(_DENSE, count + 1):
        dense = scale[:, None] * (graph.toarray() + faint / n) * scale
        return np.asarray(eigh(dense, subset_by_index=[n - min(count, n), n - 1])[1])
    _, vectors = eigsh(LinearOperator((n, n), times, dtype=np.float64), k=count, which="LA", v0=np.ones(n))
    return np.asarray(vectors)
