"""How well a score ranks defective above good: figures of the weights found at each distinct score.

All take ``hits`` and ``alarms``, ``(…, U)``: the weight of what is defective and of what is good at each of U scores,
the highest first. Images, pixels and resamples of them are counted alike; equal scores stand together, so that their
order decides nothing.
"""

from dataclasses import dataclass

import numpy as np

from millscale.metrics.classification import Floats, Ints, ratio

RECALL = 0.95


@dataclass(frozen=True, eq=False)
class Ranking:
    """Scores in falling order, equal ones together.

    Attributes:
        order: ``(N,)`` indices of the scores, the highest first.
        starts: ``(U,)`` where in ``order`` each distinct score begins.
        place: ``(N,)`` which distinct score each one is, 0 for the highest.
    """

    order: Ints
    starts: Ints
    place: Ints

    def sums(self, weights: Floats) -> Floats:
        """``(…, U)`` sums of ``weights`` ``(…, N)`` at each distinct score."""
        result: Floats = np.add.reduceat(weights[..., self.order], self.starts, axis=-1)
        return result


def ranked(scores: Floats) -> Ranking:
    """The ranking of ``scores`` ``(N,)``, N at least 1."""
    order = np.argsort(-scores, kind="stable").astype(np.int64)
    new = np.append(True, np.diff(scores[order]) != 0)
    place = np.empty(len(scores), np.int64)
    place[order] = np.cumsum(new) - 1
    return Ranking(order, np.flatnonzero(new).astype(np.int64), place)


def shares_below(alarms: Floats) -> Floats:
    """``(…, U)`` share of the good that scores below each score, ties by half (Mann and Whitney 1947)."""
    total = alarms.sum(-1, keepdims=True)
    return ratio(total - alarms.cumsum(-1) + alarms / 2, np.broadcast_to(total, alarms.shape))


def average_precision(hits: Floats, alarms: Floats) -> Floats:
    """Precision at each score, weighted by the recall that it adds; NaN without anything defective."""
    found = hits.cumsum(-1)
    precision = np.where(hits > 0, ratio(found, found + alarms.cumsum(-1)), 0.0)
    return ratio((hits * precision).sum(-1), hits.sum(-1))


def rate_at_recall(hits: Floats, alarms: Floats, recall: float = RECALL) -> Floats:
    """The false-alarm rate at the highest threshold that finds ``recall`` of the defective; NaN with a side empty."""
    found, total = hits.cumsum(-1), hits.sum(-1)
    first = (found >= recall * total[..., None] - 1e-9).argmax(-1)  # .95 * 20 must be 19, whatever the rounding
    alarmed = np.take_along_axis(alarms.cumsum(-1), first[..., None], -1)[..., 0]
    return np.where(total > 0, ratio(alarmed, alarms.sum(-1)), np.nan)


def curve(hits: Floats, alarms: Floats) -> tuple[Floats, Floats]:
    """The rates of false alarms and of what is found, ``(…, U + 1)`` each, from no rejection to nothing but."""
    x, y = (ratio(part.cumsum(-1), np.broadcast_to(part.sum(-1, keepdims=True), part.shape)) for part in (alarms, hits))
    start = np.zeros((*x.shape[:-1], 1))
    return np.concatenate([start, x], axis=-1), np.concatenate([start, y], axis=-1)


def area_under_curve(hits: Floats, alarms: Floats, limit: float = 1.0) -> Floats:
    """Mean recall over false-alarm rates from 0 to ``limit``: AUROC for a limit of 1; NaN with a side empty.

    With ``hits`` weighted so that each defective region counts the same, recall is the per-region overlap and the
    area is AUPRO (Bergmann et al., "The MVTec anomaly detection dataset", IJCV 2021, section 5.1). Between scores the
    curve is a straight line, which counts ties by half.
    """
    x, y = curve(hits, alarms)
    clipped = np.minimum(x, limit)
    width, whole = np.diff(clipped, axis=-1), np.diff(x, axis=-1)
    rise = np.diff(y, axis=-1) * np.divide(width, whole, out=np.zeros_like(whole), where=whole > 0)
    area: Floats = (width * (y[..., :-1] + rise / 2)).sum(-1) / limit
    return np.where(hits.sum(-1) * alarms.sum(-1) > 0, area, np.nan)
