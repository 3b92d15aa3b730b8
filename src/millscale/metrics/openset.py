"""How well a distance tells the unknown from the known."""

import numpy as np
from numpy.typing import ArrayLike


def auroc(known: ArrayLike, unknown: ArrayLike) -> float:
    """The chance that an unknown image is farther than a known one, a tie counting half (Mann & Whitney 1947).

    Args:
        known: ``(n,)`` distances of images of known classes.
        unknown: ``(m,)`` of others.
    """
    near, far = np.sort(np.asarray(known, np.float64)), np.asarray(unknown, np.float64)
    wins = np.searchsorted(near, far, side="left") + np.searchsorted(near, far, side="right")
    return float(wins.mean() / (2 * len(near)))


def accepted(known: ArrayLike, unknown: ArrayLike, kept: float = 0.95) -> float:
    """Share of the unknown that is taken for known where ``kept`` of the known is: FPR95, as it is called.

    Args:
        known: ``(n,)`` distances of images of known classes.
        unknown: ``(m,)`` of others.
        kept: share of known images.
    """
    limit = np.quantile(np.asarray(known, np.float64), kept)
    return float((np.asarray(unknown) <= limit).mean())
