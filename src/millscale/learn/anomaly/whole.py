"""How unusual the whole image is: Mahalanobis distance of the mean and the deviation of its patches.

What is slightly odd everywhere, as uneven light, a bent outline or a net of fine cracks, is odd nowhere by itself. The
distance is that of a Gaussian with few principal directions and one variance in all others (Tipping and Bishop 1999).
"""

from dataclasses import dataclass

import numpy as np

from millscale.features.graph import Builder
from millscale.learn.patches import Floats, Patches, pointwise

DESCRIPTION = "Mahalanobis distance of the mean and the deviation of all patches of the image"
DRAWN = False
MOST = 3.0
"""Deviations, beyond those of good images: more would say nothing new, and hide where the image is odd."""
_DIRECTIONS = 256
_SHRINKAGE = 0.03
_LEAST = 1e-6


@dataclass(frozen=True, eq=False)
class Whole:
    """Of ``x = pooled * scale + shift``, all ``(2 d,)``, squared distance ``|x|² / rest - |x @ directions|²``."""

    scale: Floats
    shift: Floats
    directions: Floats
    rest: float

    def build(self, build: Builder, features: str) -> str:
        """Half the logarithm of the mean squared distance, the same for every patch of an image."""
        mean = build.op("ReduceMean", features, axes=[2, 3], keepdims=1)
        centred = build.op("Sub", features, mean)
        variance = build.op("ReduceMean", build.op("Mul", centred, centred), axes=[2, 3], keepdims=1)
        pooled = build.op("Concat", mean, build.op("Sqrt", variance), axis=1)
        scale, shift = (
            build.constant(each[None, :, None, None].astype(np.float32)) for each in (self.scale, self.shift)
        )
        x = build.op("Add", build.op("Mul", pooled, scale), shift)
        along = pointwise(build, x, self.directions, np.zeros(self.directions.shape[1]))
        axis = build.constant(np.array([1]))
        total, explained = (build.op("ReduceSum", build.op("Mul", each, each), axis, keepdims=1) for each in (x, along))
        squared = build.op("Relu", build.op("Sub", build.op("Mul", total, _number(build, 1 / self.rest)), explained))
        mean_square = build.op("Mul", squared, _number(build, 1 / len(self.scale)))
        log = build.op("Log", build.op("Add", mean_square, _number(build, _LEAST)))
        first = build.op("Slice", features, *(build.constant(np.array([i])) for i in (0, 1, 1)))
        zeros = build.op("Mul", first, _number(build, 0.0))
        return build.op("Add", zeros, build.op("Mul", log, _number(build, 0.5)))


def fit(patches: Patches, _bank: int, _components: int, _seed: int) -> Whole:
    """Mean and covariance of what good images are like as a whole."""
    pooled = patches.wholes.astype(np.float64)
    mean, deviation = pooled.mean(0), pooled.std(0) + 1e-6
    x = (pooled - mean) / deviation
    _, singular, directions = np.linalg.svd(x, full_matrices=False)
    variance = (1 - _SHRINKAGE) * singular**2 / max(len(x) - 1, 1) + _SHRINKAGE
    kept = min(_DIRECTIONS, len(variance))
    others = x.shape[1] - kept
    rest = float((variance[kept:].sum() + _SHRINKAGE * (x.shape[1] - len(variance))) / others) if others else _SHRINKAGE
    # 1 / variance along a direction, instead of 1 / rest.
    less = np.sqrt(np.maximum(1 / rest - 1 / variance[:kept], 0.0))
    return Whole(1 / deviation, -mean / deviation, directions[:kept].T * less, rest)


def _number(build: Builder, value: float) -> str:
    return build.constant(np.array(value, np.float32))
