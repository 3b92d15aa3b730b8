"""From scores to probabilities, and from probabilities to sets with a promised coverage."""

import math
from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

_COLDEST, _HOTTEST = 1e-3, 1e3


def fit_temperature(logits: NDArray[np.floating], y: NDArray[np.integer]) -> float:
    """The temperature T for which ``softmax(logits / T)`` has the least log-loss (Guo et al. 2017).

    Targets are smoothed as Platt 1999 smooths them, ``(n + 1) / (n + C)`` for the true class, so that a
    classifier without an error on ``n`` images is not called infinitely sure.

    Args:
        logits: ``(N, C)`` of images the classifier did not train on; -inf for a class it never saw. An image
            of such a class is left out: no temperature could mend it, and it would flatten all the others.
        y: ``(N,)`` true class indices.

    Returns:
        The temperature; 1 where no image is left to fit it on.
    """
    rows = np.isfinite(logits[np.arange(len(y)), y])
    logits, y = logits[rows], y[rows]
    n, classes = logits.shape
    if not n:
        return 1.0
    known = np.isfinite(logits)
    target = known / (n + classes)
    target[np.arange(n), y] += 1.0 - target.sum(1)

    def loss(log_temperature: float) -> float:
        log_probs = log_softmax(logits / math.exp(log_temperature), axis=1)
        return float(-(target * np.where(known, log_probs, 0.0)).sum())

    bounds = (math.log(_COLDEST), math.log(_HOTTEST))
    return math.exp(float(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def calibrated(logits: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    """``softmax(logits / temperature)``, ``(N, C)`` float64."""
    return np.asarray(softmax(np.asarray(logits, np.float64) / temperature, axis=1))


def log_loss(probs: NDArray[np.float64], y: NDArray[np.integer]) -> float:
    """Mean negative log-probability of the truth, in nats."""
    return float(-np.log(np.clip(probs[np.arange(len(y)), y], 1e-12, 1.0)).mean())


def conformal_threshold(
    probs: NDArray[np.float64],
    y: NDArray[np.integer],
    miscoverage: float,
    groups: Sequence[Hashable] | None = None,
) -> float:
    """The threshold t for which the sets ``{c: 1 - p_c <= t}`` miss the truth that rarely.

    Split conformal prediction (Vovk et al. 2005; Angelopoulos & Bates 2021, section 1): the
    ``ceil((n + 1)(1 - miscoverage)) / n`` quantile of ``1 - p_true`` over held-out images; 1 where there are
    too few to promise anything. Images of a group are no independent evidence: each group counts once, its
    images in equal parts.

    Args:
        probs: ``(N, C)``.
        y: ``(N,)`` true class indices.
        miscoverage: in (0, 1).
        groups: N group names; None where every image stands alone.
    """
    scores = 1.0 - probs[np.arange(len(y)), y]
    order = np.argsort(scores, kind="stable")
    names = list(groups) if groups is not None else list(range(len(y)))
    sizes = Counter(names)
    reached = np.cumsum([1.0 / sizes[names[i]] for i in order])
    wanted = (len(sizes) + 1) * (1.0 - miscoverage)
    rank = int(np.searchsorted(reached, wanted - 1e-9))
    return float(np.clip(scores[order[rank]], 0.0, 1.0)) if rank < len(scores) else 1.0
