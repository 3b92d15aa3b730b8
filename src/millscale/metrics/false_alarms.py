"""Thresholds of raw anomaly scores: from good images alone by the rate of false alarms, or from what errors cost.

Without a defect to learn from, a threshold can promise one thing only: how many good images it will reject. Images of
one group (one coil, one tile photographed six times) tell hardly more than one image does, so groups are what is
counted: each weighs the same, and its images share that weight (Dunn, Wasserman and Ramdas, "Distribution-free
prediction sets for two-layer hierarchical models", JASA 2022, section 3.1).
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from millscale.core.errors import DataError, UsageError
from millscale.metrics.anomaly_rates import ranked
from millscale.metrics.bootstrap import group_index
from millscale.metrics.classification import Floats, Ints

CONFIDENCE = 0.95
_FEWEST = 2
_ROUNDING = 1e-9
_TAIL = (5, 10)
"""Least and largest weight of the tail that is extended: the further out, the more alike tails are."""

Groups = Sequence[Hashable] | NDArray[np.generic] | None


@dataclass(frozen=True)
class FalseAlarmThreshold:
    """A threshold chosen on good images alone, and what it can be trusted to do.

    Attributes:
        threshold: an image is rejected whose raw score reaches it.
        rate_asked: the share of good images that may be rejected.
        expected_rate: the share that will be, on average over new groups. It is below ``rate_asked`` only where many
            scores are equal.
        upper_bound: with a confidence of 95 % the share is not larger: Clopper and Pearson's bound, which is also that
            of an order statistic (Wilks 1941), with groups as observations.
        groups, images: what it was chosen on.
        extrapolated: True where there are too few groups for the rate, with images that stand alone fewer than
            1 / rate - 1. Then the threshold follows from the assumption that scores beyond the highest ones fall off
            exponentially; ``upper_bound`` does not.
    """

    threshold: float
    rate_asked: float
    expected_rate: float
    upper_bound: float
    groups: int
    images: int
    extrapolated: bool

    def to_json(self) -> dict[str, object]:
        """The attributes by name."""
        return asdict(self)


def threshold_for(scores: ArrayLike, groups: Groups, rate: float) -> FalseAlarmThreshold:
    """The threshold at which the share ``rate`` of good images of new groups is expected to be rejected.

    It is the conformal quantile (Vovk, Gammerman and Shafer 2005), the ``ceil((n + 1) (1 - rate))``-th score where
    every image stands alone, moved towards the next lower score by what is left of the rate. The ``+ 1`` stands for
    the new group, which may score above all others; how much of one it is, leaving out each group tells.

    Args:
        scores: ``(N,)`` raw scores of good images that the model was not fitted on, 0 or more.
        groups: ``(N,)`` what must not be split (None for an image that stands alone), or None where all do.
        rate: share in (0, 1) of good images that may be rejected.

    Raises:
        UsageError: a rate that is no such share.
        DataError: fewer than two groups, scores that are all equal or no scores.
    """
    if not 0 < rate < 1:
        raise UsageError(f"Expected a false-alarm rate between 0 and 1, found {rate}; ask for 0.01, say.")
    values, group = _checked(scores, groups)
    count = int(group.max()) + 1
    falling, weight = _weighted(values, group)
    if count < _FEWEST or len(falling) < _FEWEST:
        raise DataError(
            f"Expected held-out good images of at least {_FEWEST} groups with scores that differ, found {count} "
            f"groups and {len(falling)} different scores; add good images."
        )
    news = _news(values, group, max(_TAIL[1], rate * count))
    budget = rate * (count + news) - news
    extrapolated = budget < -_ROUNDING
    if extrapolated:
        # Never below the highest score, which a larger rate would not reject either.
        threshold, expected = max(_beyond(falling, weight, news, rate), float(falling[0])), rate
    else:
        threshold, left = _within(falling, weight, budget)
        expected = rate - left / (count + news)
    alarmed = float(weight[falling >= threshold].sum())
    return FalseAlarmThreshold(
        threshold=threshold,
        rate_asked=rate,
        expected_rate=expected,
        upper_bound=upper_bound(alarmed, count),
        groups=count,
        images=len(values),
        extrapolated=extrapolated,
    )


def rate_for(scores: ArrayLike, groups: Groups, threshold: float) -> float:
    """The rate at which :func:`threshold_for` gives this threshold, within (1e-6, 0.999), rounded up to 4 digits.

    Args:
        scores, groups: as there.
        threshold: wanted; the one that is given is at most this.

    Raises:
        DataError: as there.
    """
    low, high = math.log(1e-6), math.log(0.999)
    for _ in range(40):
        middle = (low + high) / 2
        above = threshold_for(scores, groups, math.exp(middle)).threshold > threshold
        low, high = (middle, high) if above else (low, middle)
    return float(f"{math.exp(high) * 1.0005:.3e}")


def _checked(scores: ArrayLike, groups: Groups) -> tuple[Floats, Ints]:
    values = np.asarray(scores, np.float64)
    if values.ndim != 1 or not len(values) or not ((values >= 0) & (values < np.inf)).all():
        raise DataError(
            f"Expected raw scores (N,) of 0 or more for at least one image, found {values.shape}; "
            "score held-out images first."
        )
    return values, group_index(groups, len(values))


def _weighted(values: Floats, group: Ints) -> tuple[Floats, Floats]:
    """``(U,)`` distinct scores, the highest first, and ``(U,)`` their weight, that of a group summing to 1."""
    order = ranked(values)
    return values[order.order[order.starts]], order.sums(1 / np.bincount(group)[group])


def _news(values: Floats, group: Ints, tail: float) -> float:
    """What a new group adds to the weight above a threshold chosen on these, by leaving out each group in turn.

    It is 1 where every image stands alone or the images of a group score alike: the new group may be above all others.
    Where the images of a group differ as much as any it is the weight of one image.

    Args:
        values: ``(N,)`` scores.
        group: ``(N,)`` in [0, G).
        tail: weight of the highest scores over which to average.
    """
    size, order = np.bincount(group)[group], ranked(values)
    above = np.append(0.0, order.sums(1 / size).cumsum())
    others = above[order.place] - _above_in_group(values, group) / size
    sort = np.argsort(others, kind="stable")
    alarmed = np.append(0.0, (1 / size)[sort].cumsum())
    budgets = above[above <= min(tail, above[-1] / 2)]
    left_out = alarmed[np.searchsorted(others[sort], budgets + _ROUNDING, side="right")]
    return float(np.clip((left_out - budgets).mean(), 1 / size.max(), 1.0))


def _above_in_group(values: Floats, group: Ints) -> Ints:
    """``(N,)`` how many scores of its own group are higher than each."""
    by_group = np.lexsort((-values, group))
    new = np.append(True, np.diff(group[by_group]) != 0)
    higher = np.append(True, np.diff(values[by_group]) != 0) | new
    # The place of the last group begun and of the last score differing from its predecessor.
    starts = [np.maximum.accumulate(np.where(flags, np.arange(len(values)), 0)) for flags in (new, higher)]
    result = np.empty(len(values), np.int64)
    result[by_group] = starts[1] - starts[0]
    return result


def _within(falling: Floats, weight: Floats, budget: float) -> tuple[float, float]:
    """The threshold above which the weight ``budget`` lies, and what of it had to be left unused."""
    above = np.append(0.0, weight.cumsum())
    place = int(np.searchsorted(above, budget + _ROUNDING, side="right")) - 1
    left, score = max(0.0, budget - float(above[place])), float(falling[place])
    if weight[place] > 1 + _ROUNDING or not score:
        # Images of several groups share this score: all or none of them are rejected, and all would be too many.
        # Nor can a score of 0 be rejected, for a threshold is more.
        return ((score + float(falling[place - 1])) / 2 if place else 1.000001 * score), left
    following = float(falling[min(place + 1, len(falling) - 1)])
    return score - (score - following) * left / float(weight[place]), 0.0


def _beyond(falling: Floats, weight: Floats, news: float, rate: float) -> float:
    """The threshold that the share ``rate`` exceeds where the tail of the scores is exponential.

    With k scores above u, the sum S of their excesses and another excess z of an exponential tail, z / S exceeds x with
    probability ``(1 + x)^-k`` whatever the tail's scale, and a new score exceeds u with ``(k + 1) / (n + 1)``: the
    chances multiply (Rényi 1953), and no parameter is left to be estimated.
    """
    above, count = weight.cumsum(), float(weight.sum())
    wanted = min(max(_TAIL[0], min(_TAIL[1], count // 10)), count - 1)
    last = min(int(np.searchsorted(above, wanted + _ROUNDING, side="right")), len(falling) - 1)
    tail = float(above[last - 1]) if last else 0.0
    if not last:  # the highest score is shared by so many groups that nothing is known above it
        return 1.000001 * float(falling[0])
    excess = float((weight[:last] * (falling[:last] - falling[last])).sum())
    beyond: float = excess / news * (((tail + news) / ((count + news) * rate)) ** (news / tail) - 1)
    return float(falling[last]) + beyond


def upper_bound(alarms: float, groups: int, confidence: float = CONFIDENCE) -> float:
    """Clopper and Pearson's one-sided upper bound of a rate seen ``alarms`` times in ``groups`` (1934).

    Args:
        alarms: need not be whole: a group of which a third of the images alarm counts a third.
        groups: number of independent observations.
        confidence: that the rate is not larger.
    """
    if alarms > groups - _ROUNDING:
        return 1.0
    return beta_quantile(confidence, alarms + 1, groups - alarms)


def beta_quantile(share: float, a: float, b: float) -> float:
    """The value below which a beta(a, b) variable lies with probability ``share``, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _beta_cdf(middle, a, b) < share else (low, middle)
    return (low + high) / 2


def _beta_cdf(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function by its continued fraction (DLMF 8.17.22), for 0 < x < 1."""
    if x > (a + 1) / (a + b + 2):  # where the fraction converges slowly
        return 1 - _beta_cdf(1 - x, b, a)
    fraction = 1.0
    for m in range(20 + int(5 * math.sqrt(max(a, b))), -1, -1):
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)) if m else 1.0
        fraction = 1 + even / (1 + odd / fraction) if m else 1 + odd / fraction
    log_front = a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return math.exp(log_front) / (a * fraction)


def threshold_by_cost(
    scores: ArrayLike,
    defective: ArrayLike,
    groups: Groups,
    escape_cost: float,
    overkill_cost: float,
    defect_rate: float | None = None,
) -> float:
    """The threshold at which errors cost least on these images; of equally cheap ones the lowest.

    It stands halfway between two scores. Where rejecting nothing is cheapest, it is twice the highest score.

    Args:
        scores: ``(N,)`` raw scores, 0 or more, of images that neither chose the model nor will be reported.
        defective: ``(N,)`` bool, the truth.
        groups: as for :func:`threshold_for`; each group weighs the same.
        escape_cost: what a defective image that passes costs.
        overkill_cost: what a good image that is rejected costs.
        defect_rate: share of defective images in production; by default that of these images.

    Raises:
        UsageError: a cost that is negative, or a share outside [0, 1].
        DataError: no good or no defective image.
    """
    values, group = _checked(scores, groups)
    bad = np.asarray(defective, np.bool_)
    if min(escape_cost, overkill_cost) < 0 or not 0 <= (defect_rate or 0) <= 1:
        raise UsageError(
            f"Expected costs of 0 or more and a share of defects in [0, 1], found {escape_cost}, {overkill_cost} and "
            f"{defect_rate}; correct them."
        )
    if bad.shape != values.shape or bad.all() or not bad.any():
        raise DataError(
            f"Expected good and defective images, found {int(bad.sum())} defective ones of {len(values)}; without "
            "defects choose the threshold by a rate of false alarms."
        )
    order, weight = ranked(values), 1 / np.bincount(group)[group]
    share = float((weight * bad).sum() / weight.sum()) if defect_rate is None else defect_rate
    rejected = [np.append(0.0, order.sums(weight * one).cumsum()) / (weight * one).sum() for one in (bad, ~bad)]
    cost = escape_cost * share * (1 - rejected[0]) + overkill_cost * (1 - share) * rejected[1]
    falling = values[order.order[order.starts]]
    edges = np.concatenate([[3 * falling[0] or 1.0], falling, [0.0]])
    between = (edges[:-1] + edges[1:]) / 2
    cost[between <= 0] = np.inf  # a score of 0 is never rejected
    return float(between[len(cost) - 1 - int(np.isclose(cost, cost.min(), rtol=0, atol=1e-12)[::-1].argmax())])
