"""Which images look alike: a graph over whitened features, along which labels spread."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

_CHUNK = 1024


def whitened(vectors: NDArray[np.floating], dimensions: int, power: float) -> NDArray[np.float32]:
    """Leading principal components divided by their variance to this power, each row scaled to length 1.

    Args:
        vectors: ``(n, d)``.
        dimensions: at most this many are kept.
        power: 0.5 whitens wholly, 0 leaves the components as they are.

    Returns:
        ``(n, k)``, k at most ``dimensions``, d and n - 1.
    """
    centred = np.asarray(vectors, np.float64) - vectors.mean(0, dtype=np.float64)
    values, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    kept = slice(None, -1 - min(dimensions, len(centred) - 1), -1)
    values, axes = values[kept], axes[:, kept]
    sound = values > 1e-9 * max(float(values[0]), 1e-12)
    rows = centred @ (axes[:, sound] / values[sound] ** power)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), np.float32)


def neighbour_graph(points: NDArray[np.float32], neighbours: int) -> csr_array:
    """The symmetric graph of nearest neighbours, normalised as label spreading wants it.

    Weights fall with the squared distance in units of both ends' distance to their seventh neighbour (Zelnik-Manor &
    Perona 2004), and are divided by the root of both ends' sums (Zhou et al. 2004).

    Args:
        points: ``(n, k)`` rows of length 1.
        neighbours: of each image; fewer where there are fewer.

    Returns:
        ``(n, n)`` float64, no weight on the diagonal.
    """
    n = len(points)
    count = min(neighbours, n - 1)
    index, distance = np.empty((n, count), np.int64), np.empty((n, count))
    for start in range(0, n, _CHUNK):
        likeness = points[start : start + _CHUNK] @ points.T
        rows = np.arange(len(likeness))
        likeness[rows, start + rows] = -np.inf
        nearest = np.argpartition(-likeness, count - 1, axis=1)[:, :count]
        index[start + rows] = nearest
        distance[start + rows] = 2.0 - 2.0 * np.clip(np.take_along_axis(likeness, nearest, 1), -1.0, 1.0)
    scale = np.sqrt(np.sort(distance, axis=1)[:, min(6, count - 1)])
    weight = np.exp(-distance / np.maximum(scale[:, None] * scale[index], 1e-12))
    ends = (np.repeat(np.arange(n), count), index.ravel())
    one_way = csr_array((weight.ravel(), ends), shape=(n, n))
    both = one_way.maximum(one_way.T)
    root = diags_array(1.0 / np.sqrt(np.maximum(both.sum(axis=1), 1e-12)))
    return csr_array(root @ both @ root)
