"""A set of images in two dimensions."""

from collections.abc import Callable
from typing import Any

import numpy as np

from millscale.core.errors import UsageError
from millscale.learn.embedding import Floats

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


def _pca() -> Any:
    from sklearn.decomposition import PCA  # seconds to import

    return PCA


PLANES: dict[str, Callable[[], Any]] = {"pca": _pca, "umap": _umap}
"""Maps by name; each loads what it needs."""


def plane(points: Floats, kind: str, seed: int) -> Floats:
    """``(n, 2)`` places of the points ``(n, d)``, each axis in [0, 1].

    Raises:
        UsageError: the map's package is not installed.
    """
    if kind == "umap":
        near = max(2, min(_NEIGHBOURS, len(points) - 1))
        found = PLANES[kind]()(2, n_neighbors=near, init="pca", random_state=seed, n_jobs=1).fit_transform(points)
    else:
        found = PLANES[kind]()(min(2, points.shape[1]), svd_solver="full").fit_transform(points)
    found = np.pad(np.asarray(found, np.float64), ((0, 0), (0, 2 - found.shape[1])))
    span = np.ptp(found, axis=0)
    scaled: Floats = np.where(span > 0, (found - found.min(0)) / np.where(span > 0, span, 1), 0.5)
    return scaled
