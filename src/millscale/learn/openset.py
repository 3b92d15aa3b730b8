"""Fit the guard that knows what a classifier does not know (`runtime.openset`), and set its limits.

The shrinkage was chosen where it is judged by no figure we publish: on X-SDD with each class left out in turn, where
0.5 to 0.9 are alike. It is no option: the unknown, by its nature, cannot be tuned for.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from millscale.learn.heads import Moments, fold_moments
from millscale.runtime.card import OpenSet
from millscale.runtime.openset import FILES, Guard

Floats = NDArray[np.float64]
SHRINKAGE = 0.7
RANK = 128
_MOST_NUMBERS = 2**18
"""Of one metric: both together stay within a megabyte."""
_LEAST_SPREAD = 0.01
"""Share of the largest deviation that a feature which hardly changes is taken to have."""


@dataclass(frozen=True, eq=False)
class Guarded:
    """A guard with the distances by which its limits are set.

    Attributes:
        guard: of the final model.
        distances: ``(N, 2)`` of each image by a guard that never saw its group; NaN rows where there was none, or
            where it knew no image of the class.
    """

    guard: Guard
    distances: Floats


def guarded(moments: Moments, distances: Floats) -> Guarded | None:
    """The guard fitted on ``moments``; None where a class has no image there, or no image was held out."""
    if (moments.count > 0).all() and np.isfinite(distances).any():
        return Guarded(fit_guard(moments), distances)
    return None


def moments_of(features: NDArray[np.float32], targets: NDArray[np.int64], classes: int) -> Moments:
    """The moments of features ``(n, d)`` held in memory."""
    return fold_moments([features[:, None]], targets, np.zeros(len(targets), np.int64), classes)[0]


def fit_guard(moments: Moments) -> Guard:
    """The guard of the classes that have images.

    Args:
        moments: of the training part.
    """
    present = moments.count > 0
    share = moments.count[present] / moments.count.sum()
    means = moments.total[present] / moments.count[present, None]
    mean = share @ means
    second = moments.scatter / moments.count.sum()
    return Guard(
        (np.vstack([mean, means]) + moments.origin).astype(np.float32),
        _metric(second - (means.T * share) @ means),
        _metric(second - np.outer(mean, mean)),
    )


def held_out(moments: Moments, features: NDArray[np.floating], targets: NDArray[np.int64]) -> Floats:
    """``(n, 2)`` distances of images from a guard that did not see them; NaN where it saw none of their class.

    Args:
        moments: of the part the guard is fitted on.
        features: ``(n, d)`` of the images.
        targets: ``(n,)`` their class indices.
    """
    result = np.full((len(targets), 2), np.nan)
    known = moments.count[targets] > 0
    if known.any():
        result[known] = fit_guard(moments).distances(features[known])[0]
    return result


def calibrate(guarded: Guarded, folds: NDArray[np.int64], asked: float) -> OpenSet:
    """The limits at which a known image is called unknown that rarely.

    The limit of the relative distance is its conformal quantile over the held-out images, that of the plain distance
    the largest there is. ``measured`` sets them by all folds but one and counts in that one.

    Args:
        guarded: with distances of at least one image.
        folds: ``(N,)`` fold of each image.
        asked: the rate, in (0, 1).
    """
    judged = np.isfinite(guarded.distances).all(1)
    distances, folds = guarded.distances[judged], folds[judged]
    wrong = sum(int((distances[own] > _limits(distances[~own], asked)).any(1).sum()) for own in _parts(folds))
    relative, plain = _limits(distances, asked).tolist()
    return OpenSet(files=FILES, limits=(relative, plain), asked=asked, measured=wrong / len(distances))


def _parts(folds: NDArray[np.int64]) -> Iterator[NDArray[np.bool_]]:
    kinds = np.unique(folds)
    # Of a single fold, its limits are its own.
    return (folds == fold if len(kinds) > 1 else np.zeros(len(folds), bool) for fold in kinds)


def _limits(distances: Floats, asked: float) -> Floats:
    rank = min(math.ceil((len(distances) + 1) * (1.0 - asked)), len(distances)) - 1
    return np.maximum([np.sort(distances[:, 0])[rank], distances[:, 1].max()], 1e-6)


def _metric(covariance: Floats) -> NDArray[np.floating]:
    """The metric of the correlation drawn towards the identity, as `Guard` keeps it.

    Past the leading directions all are taken to have the mean of their variances (Tipping & Bishop 1999).
    """
    d = len(covariance)
    rank = min(RANK, max(d // 2, 1), max(_MOST_NUMBERS // d - 1, 1))
    deviation = np.sqrt(np.clip(np.diag(covariance), 0.0, None))
    scale = np.maximum(deviation, max(_LEAST_SPREAD * deviation.max(), 1e-12))
    correlation = (1.0 - SHRINKAGE) * covariance / np.outer(scale, scale)
    correlation[np.diag_indices(d)] += SHRINKAGE
    values, vectors = eigh(correlation, subset_by_index=(d - rank, d - 1), check_finite=False)
    rest = (np.trace(correlation) - values.sum()) / (d - rank) if d > rank else values[0]
    excess = vectors * np.sqrt(np.maximum(1.0 / rest - 1.0 / values, 0.0))
    metric = np.hstack([np.full((d, 1), 1.0 / np.sqrt(rest)), excess]) / scale[:, None]
    half = metric.astype(np.float16) if np.abs(metric).max() < np.finfo(np.float16).max else None
    return metric.astype(np.float32) if half is None else half
