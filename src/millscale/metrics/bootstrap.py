"""95 % intervals that respect groups: images that share pixels are one observation, not many.

The interval is the percentile bootstrap (Efron and Tibshirani, "An introduction to the bootstrap", 1993,
ch. 13) in which whole groups are drawn with replacement (Field and Welsh, "Bootstrapping clustered data",
2007). Everything reported is a function of sums over images, so a resample is one row of group weights
times a table of group sums: no image is visited twice.

Where errors are rare the bootstrap says too little: with no error at all every resample is perfect and the
interval is [1, 1]. A proportion with errors in fewer than ``RARE`` groups (or successes in fewer) is
therefore widened to Wilson's score interval (Wilson 1927) with the number of GROUPS in the place of the
number of observations: a group counts as all right or all wrong, the worst that sharing pixels can do. For
no error at all that nearly equals the exact bound (the lower end is about 1 - 3.8 / groups).
"""

from collections.abc import Hashable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import DataError
from millscale.metrics.classification import Floats, Ints

LEVEL = 0.95
Z95 = 1.959963984540054
RARE = 10
_FEWEST = 2
_BLOCK = 2_000_000  # group weights held at once: 16 MB however many groups there are


def group_index(groups: Sequence[Hashable] | NDArray[np.generic] | None, images: int) -> Ints:
    """Each image's group as ``(N,)`` int64 in [0, G); an image whose group is ``None`` stands alone.

    Raises:
        DataError: ``groups`` has another length than ``images``.
    """
    if groups is None:
        return np.arange(images, dtype=np.int64)
    if len(groups) != images:
        raise DataError(f"Expected one group per image ({images}), found {len(groups)}; pass one for each.")
    names: dict[Hashable, int] = {}
    keys = (("alone", i) if name is None else ("group", name) for i, name in enumerate(groups))
    return np.array([names.setdefault(key, len(names)) for key in keys], dtype=np.int64)


def group_sums(columns: Floats, group: Ints) -> Floats:
    """Sums of ``columns`` ``(N, K)`` over each group, ``(G, K)`` float64."""
    size = int(group.max()) + 1
    return np.stack([np.bincount(group, weights=column, minlength=size) for column in columns.T], axis=1)


def resampled_sums(sums: Floats, *, seed: int, resamples: int) -> Floats:
    """Totals ``(R, K)`` of ``resamples`` draws of whole groups with replacement.

    Args:
        sums: ``(G, K)`` one row per group, see :func:`group_sums`.
        seed: of the draws; the same seed gives the same totals.
        resamples: R.
    """
    draws = group_draws(len(sums), seed=seed, resamples=resamples)
    return np.concatenate([np.empty((0, sums.shape[1])), *(weights @ sums for weights in draws)])


def group_draws(groups: int, *, seed: int, resamples: int, block: int = _BLOCK) -> Iterator[Floats]:
    """How often each group is drawn, in blocks of rows: ``(rows, G)`` float64, ``resamples`` rows in all.

    Args:
        groups: G.
        seed: of the draws; they do not depend on ``block``.
        resamples: number of rows.
        block: about how many weights to hold at once.
    """
    rng, step = np.random.default_rng(seed), max(1, block // groups)
    for start in range(0, resamples, step):
        yield _draw(rng, min(step, resamples - start), groups)


def _draw(rng: np.random.Generator, rows: int, size: int) -> Floats:
    """How often each of ``size`` groups is drawn in ``size`` draws, ``(rows, size)``."""
    picks = rng.integers(0, size, (rows, size)) + size * np.arange(rows)[:, None]
    return np.bincount(picks.ravel(), minlength=rows * size).reshape(rows, size).astype(np.float64)


def percentile_interval(values: Floats, estimate: float, groups: int = 2) -> tuple[float, float]:
    """The central 95 % of ``values`` ``(R,)`` without its NaN, widened where needed to hold the estimate.

    A biased statistic such as ECE, which grows with any resampling noise, can leave its own estimate outside. Of fewer
    than two ``groups`` every resample is the same, which says nothing: (NaN, NaN), as where all values are NaN.
    """
    defined = values[np.isfinite(values)]
    if groups < _FEWEST or not len(defined) or not np.isfinite(estimate):
        return (float("nan"), float("nan"))
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return (min(float(low), estimate), max(float(high), estimate))


def wilson_interval(share: float, count: float) -> tuple[float, float]:
    """Wilson's 95 % score interval of a proportion seen in ``count`` observations (need not be whole)."""
    centre = share + Z95**2 / (2 * count)
    spread = Z95 * np.sqrt(max(0.0, share * (1 - share)) / count + (Z95 / (2 * count)) ** 2)
    scale = 1 + Z95**2 / count
    return (max(0.0, float(centre - spread) / scale), min(1.0, float(centre + spread) / scale))


def proportion_interval(
    values: Floats, estimate: float, right: NDArray[np.bool_], group: Ints, count: int | None = None
) -> tuple[float, float]:
    """The interval of a share of right images, honest where errors are rare.

    Args:
        values: ``(R,)`` the statistic on each resample.
        estimate: the statistic on all images.
        right: ``(M,)`` whether each image that takes part is right.
        group: ``(M,)`` its group.
        count: how many independent observations the share rests on; by default the number of groups.
    """
    if not len(right) or not np.isfinite(estimate):
        return (float("nan"), float("nan"))
    low, high = percentile_interval(values, estimate)
    if min(len(np.unique(group[right])), len(np.unique(group[~right]))) >= RARE:
        return (low, high)
    wide_low, wide_high = wilson_interval(estimate, count or len(np.unique(group)))
    return (min(low, wide_low, estimate), max(high, wide_high, estimate))
