"""PaDiM (Defard et al., ICPR 2021): a Gaussian for each place; for parts that always lie the same way.

A place is a cell of a grid over the image, whatever the image's size. Principal components stand for the paper's
randomly chosen features, and each cell's covariance is drawn towards that of all.
"""

from dataclasses import dataclass

import numpy as np

from millscale.features.graph import Builder
from millscale.features.patch_graph import sized_as
from millscale.learn.patches import Floats, Patches, pointwise

DESCRIPTION = "Mahalanobis distance from the good patches of the same place"
DRAWN = False
_CELLS = 14
"""Along each side."""
_WEIGHT = 50.0
"""Patches that the covariance of all counts for in each cell."""


@dataclass(frozen=True, eq=False)
class Places:
    """A Gaussian for each of ``c * c`` cells, of ``patch @ weight + bias``: weight ``(d, k)``, bias ``(k,)``.

    ``|(x - mean) @ whitening|²`` is the squared distance: mean ``(c * c, k)``, whitening ``(c * c, k, k)``.
    """

    weight: Floats
    bias: Floats
    mean: Floats
    whitening: Floats

    def build(self, build: Builder, features: str) -> str:
        """Logarithm of the squared distance, bilinear between the cells."""
        projected = pointwise(build, features, self.weight, self.bias)
        grid = build.constant(np.zeros((1, 1, _CELLS, _CELLS), np.float32))
        cells = build.op("Transpose", sized_as(build, projected, grid), perm=[2, 3, 0, 1])
        count, k = self.mean.shape
        rows = build.op("Reshape", cells, build.constant(np.array([count, -1, k])))
        centred = build.op("Sub", rows, build.constant(self.mean[:, None].astype(np.float32)))
        white = build.op("MatMul", centred, build.constant(self.whitening.astype(np.float32)))
        squared = build.op("ReduceSum", build.op("Mul", white, white), build.constant(np.array([2])), keepdims=1)
        laid = build.op("Reshape", squared, build.constant(np.array([_CELLS, _CELLS, -1, 1])))
        logarithm = build.op("Log", build.op("Add", laid, build.constant(np.array(1e-3, np.float32))))
        return sized_as(build, build.op("Transpose", logarithm, perm=[2, 3, 0, 1]), features)


def fit(patches: Patches, _bank: int, components: int, _seed: int) -> Places:
    """Mean and covariance of the good patches of each cell."""
    good = patches.good.astype(np.float64)
    centre, deviation = good.mean(0), good.std(0) + 1e-6
    values, vectors = np.linalg.eigh(np.cov(((good - centre) / deviation).T))
    kept = slice(-1, -min(components, len(values)) - 1, -1)
    weight = vectors[:, kept] / deviation[:, None]
    projected = (good - centre) @ weight
    everywhere = np.cov(projected.T) + 1e-6 * np.eye(weight.shape[1])
    row, column = np.minimum((patches.places * _CELLS).astype(int), _CELLS - 1).T
    means, whitenings = [], []
    for cell in range(_CELLS**2):
        own = projected[row * _CELLS + column == cell]
        total = len(own) + _WEIGHT
        mean = own.sum(0) / total  # drawn towards that of all, which is 0
        scatter = (own - mean).T @ (own - mean)
        means.append(mean)
        whitenings.append(np.linalg.inv(np.linalg.cholesky((scatter + _WEIGHT * everywhere) / total)).T)
    return Places(weight, -(centre @ weight), np.array(means), np.array(whitenings))
