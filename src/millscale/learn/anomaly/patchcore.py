"""PatchCore (Roth et al., CVPR 2022): how far a patch is from the nearest few of a bank of good ones.

The bank is a greedy coreset of good patches in their leading principal components, each scaled by the square root of
its deviation. The search is a convolution with the bank as its kernels, inside the graph. The paper weighs the nearest
patch by the density around it (equation 7); the mean over a few depends less on which patches the bank happens to hold.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from millscale.features.graph import Builder
from millscale.learn.patches import Floats, Patches, pointwise

DESCRIPTION = "distance to the nearest patches of a bank of good ones"
DRAWN = False
_CANDIDATES = 20_000
"""Patches that the coreset is chosen from; its time grows with them times the bank."""
_SMALLEST = 1e-3
_NEAREST = 5
_FEWEST_PER_COMPONENT = 4


@dataclass(frozen=True, eq=False)
class Bank:
    """Good patches ``(m, k)`` after ``patch @ weight + bias``: weight ``(d, k)``, bias ``(k,)``."""

    weight: Floats
    bias: Floats
    patches: Floats

    def build(self, build: Builder, features: str) -> str:
        """Logarithm of the mean distance to the nearest patches of the bank."""
        projected = pointwise(build, features, self.weight, self.bias)
        cross = pointwise(build, projected, -2.0 * self.patches.T, (self.patches**2).sum(1))
        few = build.constant(np.array([min(_NEAREST, len(self.patches))]))
        nearest = f"{cross}_nearest"
        build.nodes.append(
            helper.make_node("TopK", [cross, few], [nearest, f"{nearest}_places"], axis=1, largest=0, sorted=0)
        )
        own = build.op("ReduceSum", build.op("Mul", projected, projected), build.constant(np.array([1])), keepdims=1)
        each = build.op("Sqrt", build.op("Relu", build.op("Add", nearest, own)))
        distance = build.op("ReduceMean", each, axes=[1], keepdims=1)
        return build.op("Log", build.op("Add", distance, build.constant(np.array(_SMALLEST, np.float32))))


def fit(patches: Patches, bank: int, components: int, seed: int) -> Bank:
    """A bank of at most ``bank`` patches in at most ``components`` dimensions."""
    good = patches.good
    rng = np.random.default_rng(seed)
    mean, deviation = good.mean(0), good.std(0) + 1e-6
    count = min(components, good.shape[1], max(1, len(good) // _FEWEST_PER_COMPONENT))
    part = good[rng.permutation(len(good))[:_CANDIDATES]]
    covariance = np.cov(((part - mean) / deviation).T)
    values, vectors = np.linalg.eigh(covariance)
    kept = slice(-1, -count - 1, -1)
    weight = vectors[:, kept] / np.maximum(values[kept], 1e-9) ** 0.25 / deviation[:, None]
    projected = ((part - mean) @ weight).astype(np.float32)
    return Bank(weight, -(mean @ weight), projected[_coreset(projected, bank)].astype(np.float64))


def _coreset(vectors: NDArray[np.float32], count: int) -> list[int]:
    """Greedy k-centre (Sener and Savarese 2018): each next vector is the farthest from those before."""
    squares = (vectors**2).sum(1)
    distance, chosen = np.full(len(vectors), np.inf, np.float32), [0]
    while len(chosen) < min(count, len(vectors)):
        last = chosen[-1]
        distance = np.minimum(distance, squares - 2 * (vectors @ vectors[last]) + squares[last])
        chosen.append(int(distance.argmax()))
    return chosen
