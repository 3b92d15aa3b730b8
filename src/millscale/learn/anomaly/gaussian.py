"""One Gaussian over all good patches: Mahalanobis distance, as PaDiM (Defard et al. 2021) without its positions.

PaDiM's one Gaussian for each position needs parts that lie still. Here positions enter later, in how maps are scaled.
"""

from dataclasses import dataclass

import numpy as np

from millscale.features.graph import Builder
from millscale.learn.patches import Floats, Patches, pointwise

DESCRIPTION = "Mahalanobis distance from all good patches"
DRAWN = False
_SHRINKAGE = 0.01


@dataclass(frozen=True, eq=False)
class Gaussian:
    """``|patch @ weight + bias|²`` is the squared distance: weight ``(d, d)``, bias ``(d,)``."""

    weight: Floats
    bias: Floats

    def build(self, build: Builder, features: str) -> str:
        """Logarithm of the squared distance."""
        white = pointwise(build, features, self.weight, self.bias)
        squared = build.op("ReduceSum", build.op("Mul", white, white), build.constant(np.array([1])), keepdims=1)
        return build.op("Log", build.op("Add", squared, build.constant(np.array(1e-3, np.float32))))


def fit(patches: Patches, _bank: int, _components: int, _seed: int) -> Gaussian:
    """Mean and covariance of the good patches, drawn a little towards a sphere."""
    good = patches.good.astype(np.float64)
    mean, covariance = good.mean(0), np.cov(good.T)
    covariance += (_SHRINKAGE * np.trace(covariance) / len(covariance) + 1e-9) * np.eye(len(covariance))
    weight = np.linalg.inv(np.linalg.cholesky(covariance)).T
    return Gaussian(weight, -(mean @ weight))
