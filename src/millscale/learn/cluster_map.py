"""A set of images in two dimensions."""

from typing import Any

import numpy as np

from millscale.core.errors import UsageError, unknown_name
from millscale.learn.embedding import Floats

MAPS = ("pca", "umap")
_NEIGHBOURS = 15


def _umap() -> Any:
    """UMAP (McInnes et al. 2018), where it is installed.

    Raises:
        UsageError: it is not.
    """
    try:
        from umap import UMAP
    except ImportError as error:
        raise UsageError(
            'map umap: expected the package umap-learn, found none. Run `pip install "millscale[umap]"`, '
            "or take the map pca."
        ) from error
    return UMAP


def require_map(kind: str) -> None:
    """Refuse a map that cannot be drawn, before anything long is computed.

    Raises:
        UsageError: no such map, or its package is not installed.
    """
    if kind not in MAPS:
        raise unknown_name("map", kind, MAPS)
    if kind == "umap":
        _umap()


def plane(points: Floats, kind: str, seed: int) -> Floats:
    """``(n, 2)`` places of the points ``(n, d)``, each axis in [0, 1]: the two directions of most variance, or UMAP's.

    Raises:
        UsageError: the map's package is not installed.
    """
    if kind == "umap":
        near = max(2, min(_NEIGHBOURS, len(points) - 1))
        found = _umap()(
            n_neighbors=near, n_components=2, min_dist=0.5, init="pca", random_state=seed, n_jobs=1
        ).fit_transform(points)
    else:
        centred = points - points.mean(0)
        _, axes = np.linalg.eigh(centred.T @ centred)
        found = centred @ axes[:, :-3:-1]
    found = np.pad(np.asarray(found, np.float64), ((0, 0), (0, 2 - found.shape[1])))
    span = np.ptp(found, axis=0)
    scaled: Floats = np.where(span > 0, (found - found.min(0)) / np.where(span > 0, span, 1), 0.5)
    return scaled
