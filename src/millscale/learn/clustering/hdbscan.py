"""HDBSCAN (Campello, Moulavi & Sander 2013): dense regions, as many as there are; what lies between is unsorted."""

from millscale.learn.embedding import Embedding, Ints

DESCRIPTION = "dense regions, however many; sparse images stay unsorted"
COUNTED = False
_LEAST_SHARE = 40
"""A cluster holds one image in so many at least."""
_LEAST = 5


def fit(embedding: Embedding, _clusters: int, _seed: int) -> Ints:
    """The most persistent dense regions; -1 for images in none."""
    from sklearn.cluster import HDBSCAN  # seconds to import

    least = min(max(_LEAST, len(embedding) // _LEAST_SHARE), max(2, len(embedding) // 2))
    found: Ints = HDBSCAN(min_cluster_size=least, min_samples=min(_LEAST, least), copy=True).fit_predict(
        embedding.plain
    )
    return found.astype("int64")
