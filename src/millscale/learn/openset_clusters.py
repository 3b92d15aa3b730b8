"""What was answered "unknown", sorted into kinds that may become new classes."""

import numpy as np
from numpy.typing import NDArray

_DIMENSIONS = 32


def clusters(features: NDArray[np.floating], most: int = 10) -> NDArray[np.int64]:
    """The kind of each image: Ward's clusters (1963), as many as have the highest silhouette (Rousseeuw 1987).

    Args:
        features: ``(n, d)``, as `Inspector.features` gives them.
        most: clusters that are tried, from two on: a single kind is split, too.

    Returns:
        ``(n,)`` cluster indices, the largest cluster first; all 0 where there are fewer than four images.
    """
    if len(features) < 4:
        return np.zeros(len(features), np.int64)
    from sklearn.cluster import AgglomerativeClustering
    from sklearn.decomposition import PCA
    from sklearn.metrics import silhouette_score

    rank = min(_DIMENSIONS, len(features) - 1, features.shape[1])
    leading = PCA(rank, svd_solver="full").fit_transform(np.asarray(features, np.float64))
    tried = [
        AgglomerativeClustering(count).fit_predict(leading) for count in range(2, min(most, len(features) - 1) + 1)
    ]
    best = max(tried, key=lambda labels: float(silhouette_score(leading, labels)))
    order = np.argsort(-np.bincount(best), kind="stable")
    return np.asarray(np.argsort(order)[best], np.int64)
