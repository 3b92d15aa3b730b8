"""Average precision of many resamples at once, from matches that are made only once.

Matching looks at one image at a time, so drawing images anew changes no match: a resample only counts each found
box as often as its image was drawn. COCO's 101-point average precision of a thousand resamples is then a few
cumulative sums, where running the library a thousand times would take minutes.
"""

import numpy as np

from millscale.metrics.bootstrap import group_draws
from millscale.metrics.classification import Floats, Ints, ratio
from millscale.metrics.detection_match import ClassMatches

RECALLS: Floats = np.linspace(0.0, 1.0, 101)
_BLOCK = 4_000_000  # weights of found boxes held at once: 32 MB


def average_precision(matches: ClassMatches) -> Floats:
    """AP ``(T,)`` at each IoU threshold of the matches; NaN without a true box."""
    images = len(matches.truths)
    every = weighted_ap(matches, np.ones((1, images)), np.arange(images))
    return np.asarray(every[0])


def resampled_ap(matches: ClassMatches, group: Ints, *, seed: int, resamples: int) -> Floats:
    """AP ``(R, T)`` of draws of whole groups with replacement; NaN where no true box was drawn.

    Args:
        matches: of one class; all classes drawn with one seed see the same resamples.
        group: ``(N,)`` each image's group in [0, G).
        seed: of the draws.
        resamples: R.
    """
    size = int(group.max()) + 1
    block = size * max(1, _BLOCK // max(size, len(matches.score)))
    draws = group_draws(size, seed=seed, resamples=resamples, block=block)
    none = np.empty((0, len(matches.hit)))
    return np.concatenate([none, *(weighted_ap(matches, weights, group) for weights in draws)])


def weighted_ap(matches: ClassMatches, weights: Floats, group: Ints) -> Floats:
    """AP ``(R, T)`` when each group counts as often as ``weights`` ``(R, G)`` says."""
    # Precision is needed where recall rises, so nothing after the last hit at any threshold matters.
    end = int(np.flatnonzero(matches.hit.any(0)).max(initial=-1)) + 1
    drawn = weights[:, group[matches.image[:end]]]
    every = drawn.cumsum(1)
    truths = weights @ np.bincount(group, weights=matches.truths, minlength=weights.shape[1])
    result = np.empty((len(weights), len(matches.hit)))
    for t, (hit, ignored) in enumerate(zip(matches.hit[:, :end], matches.ignored[:, :end], strict=True)):
        at, skipped = np.flatnonzero(hit), np.flatnonzero(ignored)
        counted = every[:, at] - _sum_before(drawn[:, skipped], skipped, at)
        result[:, t] = _interpolated(drawn[:, at].cumsum(1), counted, truths).mean(1)
    return np.where(truths[:, None] > 0, result, np.nan)


def _sum_before(drawn: Floats, positions: Ints, at: Ints) -> Floats:
    """Sums ``(R, K)`` of the columns of ``drawn`` ``(R, S)`` whose position comes before each of ``at`` ``(K,)``."""
    sums = np.concatenate([np.zeros((len(drawn), 1)), drawn.cumsum(1)], axis=1)
    return sums[:, np.searchsorted(positions, at)]


def _interpolated(hits: Floats, counted: Floats, truths: Floats) -> Floats:
    """The best precision ``(R, 101)`` at each recall or beyond; 0 beyond the recall reached.

    Args:
        hits: ``(R, K)`` hits up to and including the k-th.
        counted: ``(R, K)`` found boxes that count up to there.
        truths: ``(R,)`` boxes to be found.
    """
    precision = np.nan_to_num(ratio(hits, counted))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    index = _first_at_least(hits, _needed(truths))
    padded = np.concatenate([envelope, np.zeros((len(hits), 1))], axis=1)
    return np.take_along_axis(padded, index, axis=1)


def _needed(truths: Floats) -> Floats:
    """The fewest hits ``(R, 101)`` whose share of ``truths`` ``(R,)`` is each recall, as float64 compares them."""
    whole = np.maximum(truths, 1.0)[:, None]
    hits = np.ceil(RECALLS * whole)
    hits -= (hits - 1) / whole >= RECALLS
    return np.asarray(hits + (hits / whole < RECALLS))


def _first_at_least(rising: Floats, needed: Floats) -> Ints:
    """Where each row of ``rising`` ``(R, K)`` first reaches ``needed`` ``(R, M)``; K where it never does.

    All rows are searched in one call: each is lifted above the row before it.
    """
    rows, size = rising.shape
    step = float(max(rising.max(initial=0.0), needed.max(initial=0.0)) + 1)
    lift = step * np.arange(rows)[:, None]
    flat = np.searchsorted((rising + lift).ravel(), (needed + lift).ravel(), side="left").reshape(needed.shape)
    return np.asarray(np.minimum(flat - size * np.arange(rows)[:, None], size), dtype=np.int64)
