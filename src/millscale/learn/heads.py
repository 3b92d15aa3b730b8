"""Linear heads on frozen features: shrinkage discriminant analysis and logistic regression.

Discriminant analysis needs the features only through their moments. These add and subtract, so one pass
over the disk serves every fold and every shrinkage, in memory that does not grow with the images.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve

Floats = NDArray[np.float64]
_ABSENT = -np.inf
"""The logit of a class that was not in the training part."""


@dataclass(frozen=True, eq=False)
class LinearHead:
    """``logits = features @ weight + bias``: weight ``(d, C)``, bias ``(C,)``."""

    weight: Floats
    bias: Floats

    def logits(self, features: NDArray[np.floating]) -> Floats:
        """``(N, d)`` features → ``(N, C)``."""
        return np.asarray(features, np.float64) @ self.weight + self.bias


@dataclass(frozen=True, eq=False)
class Moments:
    """What discriminant analysis needs of a set of feature vectors, about a fixed origin.

    Attributes:
        count: ``(C,)`` vectors of each class.
        total: ``(C, d)`` their sum, less the origin.
        scatter: ``(d, d)`` sum of outer products of all of them, less the origin.
        origin: ``(d,)``, near the mean, so that the sums keep their digits.
    """

    count: Floats
    total: Floats
    scatter: Floats
    origin: Floats

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.count + other.count, self.total + other.total, self.scatter + other.scatter, self.origin)

    def __sub__(self, other: "Moments") -> "Moments":
        return Moments(self.count - other.count, self.total - other.total, self.scatter - other.scatter, self.origin)

    def weighted(self, weight: float) -> "Moments":
        """Each vector counted ``weight`` times."""
        return Moments(weight * self.count, weight * self.total, weight * self.scatter, self.origin)


def fold_moments(
    chunks: Iterable[NDArray[np.float32]], targets: NDArray[np.int64], folds: NDArray[np.int64], classes: int
) -> list[Moments]:
    """The moments of each fold, in one pass.

    Args:
        chunks: ``(m, v, d)`` features at a time, in the order of ``targets``; each of the v vectors counts.
        targets: ``(N,)`` class indices.
        folds: ``(N,)`` fold indices.
        classes: C.
    """
    result: list[Moments] = []
    start = 0
    for chunk in chunks:
        m, v, d = chunk.shape
        vectors = chunk.reshape(m * v, d).astype(np.float64)
        if not result:
            origin = vectors.mean(0)
            result = [
                Moments(np.zeros(classes), np.zeros((classes, d)), np.zeros((d, d)), origin)
                for _ in range(int(folds.max()) + 1)
            ]
        vectors -= origin
        label = np.repeat(targets[start : start + m], v)
        fold = np.repeat(folds[start : start + m], v)
        for k in np.unique(fold):
            _accumulate(result[k], vectors[fold == k], label[fold == k])
        start += m
    return result


def _accumulate(moments: Moments, vectors: Floats, label: NDArray[np.int64]) -> None:
    moments.scatter[...] += vectors.T @ vectors
    np.add.at(moments.total, label, vectors)
    moments.count[...] += np.bincount(label, minlength=len(moments.count))


def fit_lda(moments: Moments, shrinkage: float) -> LinearHead:
    """Linear discriminant analysis with the within-class correlation drawn towards the identity.

    ``C(s) = (1 - s) C + s I`` (Friedman 1989, on correlations, so that s means the same for every feature).

    Args:
        moments: of the training part.
        shrinkage: s in (0, 1].
    """
    present = moments.count > 0
    means = np.zeros_like(moments.total)
    means[present] = moments.total[present] / moments.count[present, None]
    between = (moments.total[present].T * (1.0 / moments.count[present])) @ moments.total[present]
    covariance = (moments.scatter - between) / moments.count.sum()
    deviation = np.sqrt(np.clip(np.diag(covariance), 0.0, None))
    scale = np.where(deviation > 1e-6 * max(deviation.max(), 1e-12), deviation, np.inf)
    correlation = covariance / np.outer(scale, scale)
    correlation *= 1.0 - shrinkage
    correlation[np.diag_indices_from(correlation)] += shrinkage
    scaled = means / scale
    weight = _solve(correlation, scaled.T)
    prior = np.log(np.maximum(moments.count, 1e-300) / moments.count.sum())
    bias = np.where(present, -0.5 * np.einsum("cd,dc->c", scaled, weight) + prior, _ABSENT)
    weight = np.where(present, weight, 0.0) / scale[:, None]
    return LinearHead(weight, bias - moments.origin @ weight)


def _solve(correlation: Floats, right: Floats) -> Floats:
    """Cholesky, or least squares where rounding has cost positive definiteness."""
    try:
        return np.asarray(cho_solve(cho_factor(correlation, check_finite=False), right, check_finite=False))
    except LinAlgError:
        return np.asarray(np.linalg.lstsq(correlation, right, rcond=None)[0])


def fit_logistic(
    features: NDArray[np.floating], targets: NDArray[np.int64], classes: int, strength: float
) -> LinearHead:
    """Multinomial logistic regression on standardised features.

    Args:
        features: ``(N, d)``.
        targets: ``(N,)`` class indices; where only one occurs, the head knows no other.
        classes: C.
        strength: inverse of the ridge penalty, scikit-learn's ``C``.
    """
    present = np.unique(targets)
    if len(present) == 1:
        return LinearHead(np.zeros((features.shape[1], classes)), np.where(np.arange(classes) == present, 0.0, _ABSENT))
    from sklearn.linear_model import LogisticRegression  # seconds to import, and rarely needed

    mean, deviation = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    scale = np.where(deviation > 1e-6 * max(deviation.max(), 1e-12), deviation, np.inf)
    model = LogisticRegression(C=strength, max_iter=500, tol=1e-3).fit((features - mean) / scale, targets)
    rows, intercept = model.coef_, model.intercept_
    if len(model.classes_) == 2:
        rows, intercept = np.vstack([-rows, rows]) / 2, np.array([-intercept[0], intercept[0]]) / 2
    weight, bias = np.zeros((features.shape[1], classes)), np.full(classes, _ABSENT)
    weight[:, model.classes_] = rows.T / scale[:, None]
    bias[model.classes_] = intercept - mean @ weight[:, model.classes_]
    return LinearHead(weight, bias)
