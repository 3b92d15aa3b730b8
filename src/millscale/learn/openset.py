"""Fit the guard that knows what a classifier does not know (`runtime.openset`), and set its limits.

Nothing here is an option: the unknown, by its nature, cannot be tuned for. With each class of NEU and of X-SDD left out
in turn, shrinkage of 0.5 to 0.9 is much alike (benchmarks/results/openset.md).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from millscale.learn.heads import Moments, fold_moments
from millscale.runtime.card import OpenSet
from millscale.runtime.openset import FILES, Distances, Guard, Limits, doubts, ratios

Floats = NDArray[np.float64]
SHRINKAGE = 0.7
RANK = 128
_SPREAD = 0.95
"""Quantile of the held-out distances from the own class that says how wide a class spreads."""
_MOST_NUMBERS = 240_000
"""Of one metric: both together stay within a megabyte."""
_LEAST_SPREAD = 0.01
"""Share of the largest deviation that a feature which hardly changes is taken to have."""
_SPARE, _ROUNDS = 32, 4
"""Directions more than are kept, and rounds, of `_leading`."""


@dataclass(frozen=True, eq=False)
class Guarded:
    """A guard with the distances by which its limits are set.

    Attributes:
        guard: of the final model.
        distances: ``(N, C)`` of each image from each class by a guard that never saw the image's group; NaN rows where
            there was none.
    """

    guard: Guard
    distances: Distances


class HeldOut(NamedTuple):
    """Of N images ``(N, C)`` probabilities by a classifier that did not see them, ``(N,)`` class indices and folds."""

    probs: Floats
    targets: NDArray[np.int64]
    folds: NDArray[np.int64]


def unmeasured(images: int, classes: int) -> Distances:
    """Distances yet to be filled in."""
    return Distances(np.full((images, classes), np.nan), np.full((images, classes), np.nan))


def guarded(moments: Moments, distances: Distances, targets: NDArray[np.int64]) -> Guarded | None:
    """The guard fitted on ``moments``; None where a class has no image there, or no image was held out."""
    if (moments.count > 0).all() and _judged(distances, targets).any():
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
    count = moments.count[:, None]
    share = moments.count / moments.count.sum()
    means = np.divide(moments.total, count, out=np.full_like(moments.total, np.nan), where=count > 0)
    known = np.nan_to_num(means)
    mean = share @ known
    second = moments.scatter / moments.count.sum()
    return Guard(
        (np.vstack([mean, means]) + moments.origin).astype(np.float32),
        _metric(second - (known.T * share) @ known),
        _metric(second - np.outer(mean, mean)),
    )


def calibrate(guarded: Guarded, held_out: HeldOut, classes: Sequence[str], asked: float) -> OpenSet:
    """The limits at which a known image is called unknown that rarely.

    ``measured`` sets them by all folds but one and counts in that one.

    Args:
        guarded: with the distances of at least one image.
        held_out: the rest of what is known of the images.
        classes: C names.
        asked: the rate, in (0, 1).
    """
    judged = _judged(guarded.distances, held_out.targets)
    distances, probs = guarded.distances.rows(judged), held_out.probs[judged]
    targets, folds = held_out.targets[judged], held_out.folds[judged]
    wrong = 0
    for fold in np.unique(folds):
        own = folds == fold
        # Of a single fold, its limits are its own.
        rest = own if own.all() else ~own
        limits = fit_limits(distances.rows(rest), probs[rest], targets[rest], asked)
        wrong += int((ratios(distances.rows(own), probs[own], limits) > 1).sum())
    limits = fit_limits(distances, probs, targets, asked)
    return OpenSet(
        files=FILES,
        limits=dict(zip(classes, limits.relative.tolist(), strict=True)),
        farthest=limits.farthest,
        usual_doubt=limits.usual,
        power=limits.power,
        asked=asked,
        measured=wrong / len(targets),
    )


def fit_limits(distances: Distances, probs: Floats, targets: NDArray[np.int64], asked: float) -> Limits:
    """The limits by images held out; that of the plain distance is the largest there is.

    A class that spreads wide has a wide limit, but less so than it spreads, the geometric mean of its own and the
    common one. The power gives doubt as much weight as distance: both logarithms have one deviation. All together are
    as wide as the conformal quantile asks.

    Args:
        distances: of ``n`` held-out images, finite from their own class.
        probs: ``(n, C)`` of a classifier that did not see them.
        targets: ``(n,)`` class indices.
        asked: share of known images called unknown.
    """
    n, classes = distances.relative.shape
    own = distances.relative[np.arange(n), targets]
    common = float(np.quantile(own, _SPREAD))
    spread = [np.quantile(own[targets == c], _SPREAD) if (targets == c).any() else common for c in range(classes)]
    scale = np.sqrt(np.maximum(spread, max(0.1 * common, 1e-6)))
    near, doubt = (distances.relative / scale).min(1), doubts(probs)
    spread_of_doubt = float(doubt.std())
    weight = float(np.log(np.maximum(near, max(1e-3 * float(np.median(near)), 1e-9))).std())
    power = weight / spread_of_doubt if spread_of_doubt > 1e-6 else 0.0
    free = Limits(scale, np.inf, float(np.median(doubt)), power)
    rank = min(math.ceil((n + 1) * (1.0 - asked)), n) - 1
    limit = max(float(np.sort(ratios(distances, probs, free))[rank]), 1e-6)
    return replace(free, relative=limit * scale, farthest=max(float(distances.plain.min(1).max()), 1e-6))


def _judged(distances: Distances, targets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which images were held out from a guard that knew their class."""
    return np.asarray(np.isfinite(distances.relative[np.arange(len(targets)), targets]))


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
    values, vectors = _leading(correlation, rank)
    rest = (np.trace(correlation) - values.sum()) / (d - rank) if d > rank else values[0]
    excess = vectors * np.sqrt(np.maximum(1.0 / rest - 1.0 / values, 0.0))
    metric = np.hstack([np.full((d, 1), 1.0 / np.sqrt(rest)), excess]) / scale[:, None]
    half = metric.astype(np.float16) if np.abs(metric).max() < np.finfo(np.float16).max else None
    return metric.astype(np.float32) if half is None else half


def _leading(matrix: Floats, rank: int) -> tuple[Floats, Floats]:
    """The largest eigenvalues ``(rank,)`` and their vectors ``(d, rank)`` of a positive definite matrix.

    By subspace iteration (Halko et al. 2011, algorithm 4.4), many times quicker than all of thousands; exact where the
    matrix is small.
    """
    d = len(matrix)
    basis = np.random.default_rng(0).standard_normal((d, min(rank + _SPARE, d)))
    for _ in range(_ROUNDS):
        basis = np.linalg.qr(matrix @ basis)[0]
    values, vectors = np.linalg.eigh(basis.T @ matrix @ basis)
    return values[-rank:], basis @ vectors[:, -rank:]
