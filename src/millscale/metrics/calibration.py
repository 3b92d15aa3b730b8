"""How far confidence can be believed: reliability table, ECE, Brier score, negative log-likelihood.

Expected calibration error: Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using
Bayesian binning", AAAI 2015, in the top-label form of Guo et al., "On calibration of modern neural
networks", ICML 2017.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from millscale.metrics.classification import Floats, Ints, checked, ratio

BINS = 15


@dataclass(frozen=True, eq=False)
class Reliability:
    """Confidence against accuracy in equal-width bins ``(lower, upper]``; 0 belongs to the first.

    Attributes:
        edges: ``(B + 1,)`` float64 from 0 to 1.
        count: ``(B,)`` float64, images whose top probability falls in the bin.
        confidence: ``(B,)`` float64, their mean top probability, NaN in an empty bin.
        accuracy: ``(B,)`` float64, the share of them that is right, NaN in an empty bin.
    """

    edges: Floats
    count: Floats
    confidence: Floats
    accuracy: Floats

    @property
    def ece(self) -> float:
        """Mean absolute difference of confidence and accuracy, weighted by the bins' counts."""
        return float(binned_error(self.count, self.count * self.confidence, self.count * self.accuracy))


def reliability(y_true: ArrayLike, probs: ArrayLike, bins: int = BINS) -> Reliability:
    """The reliability table of the predicted class's probability.

    Args:
        y_true: ``(N,)`` class indices.
        probs: ``(N, C)`` probabilities.
        bins: number of equal-width bins.

    Raises:
        DataError: the arrays do not belong together.
    """
    truth, p = checked(y_true, probs)
    top, right, index = p.max(1), p.argmax(1) == truth, confidence_bin(p, bins)
    count = _per_bin(index, np.ones(len(p)), bins)
    return Reliability(
        edges=np.linspace(0, 1, bins + 1),
        count=count,
        confidence=ratio(_per_bin(index, top, bins), count),
        accuracy=ratio(_per_bin(index, right, bins), count),
    )


def _per_bin(index: Ints, values: ArrayLike, bins: int) -> Floats:
    return np.bincount(index, weights=np.asarray(values, np.float64), minlength=bins).astype(np.float64)


def confidence_bin(probs: Floats, bins: int = BINS) -> Ints:
    """The bin ``(N,)`` of each image's top probability, bins closed above."""
    edges = np.linspace(0, 1, bins + 1)[1:-1]
    return np.asarray(np.searchsorted(edges, probs.max(1), side="left"), dtype=np.int64)


def binned_error(count: Floats, confidence_sum: Floats, hits: Floats) -> Floats:
    """ECE from sums over bins, ``(…, B)`` → ``(…)``; empty bins take no part."""
    gap = np.nan_to_num(np.abs(confidence_sum - hits), nan=0.0)
    return np.asarray(ratio(gap.sum(-1), count.sum(-1)))


def ece(y_true: ArrayLike, probs: ArrayLike, bins: int = BINS) -> float:
    """Expected calibration error of the predicted class, in [0, 1].

    Raises:
        DataError: the arrays do not belong together.
    """
    return reliability(y_true, probs, bins).ece


def brier_losses(y_true: ArrayLike, probs: ArrayLike) -> Floats:
    """Squared distance ``(N,)`` of each image's probabilities to its one-hot truth, in [0, 2].

    Brier, "Verification of forecasts expressed in terms of probability", 1950.
    """
    truth, p = checked(y_true, probs)
    return np.asarray((p**2).sum(1) - 2 * p[np.arange(len(p)), truth] + 1)


def log_losses(y_true: ArrayLike, probs: ArrayLike) -> Floats:
    """Minus the log of the true class's probability ``(N,)``, in nats; 0 counts as 2.2e-16."""
    truth, p = checked(y_true, probs)
    return np.asarray(-np.log(np.clip(p[np.arange(len(p)), truth], np.finfo(np.float64).eps, 1.0)))


def brier(y_true: ArrayLike, probs: ArrayLike) -> float:
    """Mean Brier loss, in [0, 2]."""
    return float(brier_losses(y_true, probs).mean())


def nll(y_true: ArrayLike, probs: ArrayLike) -> float:
    """Mean negative log-likelihood in nats."""
    return float(log_losses(y_true, probs).mean())
