"""One ONNX graph from pixels to the anomaly map: patch features, the evidence of each method, and their common scale.

    images (n, h, w, 3) uint8 → patch features → evidence of each method → less its mean over good images at that place,
    over its deviation there → mean over the methods → softplus → map (n, h / 8, w / 8)

Without the second step what is rare at a place decides: patches at a border or corner are unlike most others, in every
good image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from onnx import TensorProto, helper
from scipy.ndimage import gaussian_filter

from millscale.features.backbone import Backbone
from millscale.features.graph import IMAGES, Builder
from millscale.features.patch_graph import patch_features, sized_as

GRID = 24
"""Places along each side at which evidence is compared; images of every size are laid on the same grid."""
_SMOOTHING = 1.0
_LEAST_DEVIATION = 1e-3
_MAP = helper.make_tensor_value_info("map", TensorProto.FLOAT, ["n", "h8", "w8"])


class Evidence(Protocol):
    """What a method learnt."""

    def build(self, build: Builder, features: str) -> str:
        """The name of its map ``(n, 1, h, w)`` of the features ``(n, d, h, w)``."""
        ...


@dataclass(frozen=True, eq=False)
class Usual:
    """Mean and deviation ``(GRID, GRID)`` of a method's evidence over good images, by place.

    Evidence counts as at most ``most`` deviations.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    most: float | None = None


def usual(maps: Sequence[NDArray[np.float32]], most: float | None = None) -> Usual:
    """What maps ``(h, w)`` of good images, of any sizes, are like at each place."""
    laid = np.stack([_on_grid(each) for each in maps]).astype(np.float64)
    mean = gaussian_filter(laid.mean(0), _SMOOTHING, mode="nearest")
    deviation = np.sqrt(gaussian_filter(laid.var(0), _SMOOTHING, mode="nearest"))
    return Usual(mean, np.maximum(deviation, _LEAST_DEVIATION), most)


def evidence_graph(backbones: Sequence[Backbone], evidence: Sequence[Evidence]) -> bytes:
    """The network ``images`` → ``evidence (n, k, h', w')``, a map for each method."""
    build = Builder()
    features = patch_features(build, backbones)
    joined = build.op("Concat", *(each.build(build, features) for each in evidence), axis=1)
    build.nodes.append(helper.make_node("Identity", [joined], ["evidence"]))
    return build.model([IMAGES], [helper.make_tensor_value_info("evidence", TensorProto.FLOAT, ["n", "k", "h8", "w8"])])


def anomaly_graph(backbones: Sequence[Backbone], evidence: Sequence[Evidence], scales: Sequence[Usual]) -> bytes:
    """The network ``images`` → ``map (n, h', w')``, 0 or more, higher is worse."""
    build = Builder()
    features = patch_features(build, backbones)
    return _fused(build, [each.build(build, features) for each in evidence], scales).model([IMAGES], [_MAP])


def scaled_graph(scales: Sequence[Usual]) -> bytes:
    """What follows evidence in `anomaly_graph`: the network ``evidence (n, k, h', w')`` → ``map (n, h', w')``."""
    build = Builder()
    maps = [
        build.op("Slice", "evidence", *(build.constant(np.array([i])) for i in (k, k + 1, 1)))
        for k in range(len(scales))
    ]
    inputs = helper.make_tensor_value_info("evidence", TensorProto.FLOAT, ["n", len(scales), "h8", "w8"])
    return _fused(build, maps, scales).model([inputs], [_MAP])


def _fused(build: Builder, evidence: Sequence[str], scales: Sequence[Usual]) -> Builder:
    """The builder, with a map made of the evidence of each method."""
    maps = []
    for found, scale in zip(evidence, scales, strict=True):
        mean, deviation = (
            sized_as(build, build.constant(grid[None, None].astype(np.float32)), found)
            for grid in (scale.mean, scale.deviation)
        )
        scaled = build.op("Div", build.op("Sub", found, mean), deviation)
        most = None if scale.most is None else build.constant(np.array(scale.most, np.float32))
        maps.append(build.op("Min", scaled, most) if most else scaled)
    fused = build.op("Mean", *maps)
    # softplus(x) = max(x, 0) + log(1 + exp(-|x|)), which no x overflows.
    rest = build.op("Exp", build.op("Neg", build.op("Abs", fused)))
    small = build.op("Log", build.op("Add", rest, build.constant(np.array(1.0, np.float32))))
    positive = build.op("Add", build.op("Relu", fused), small)
    build.nodes.append(helper.make_node("Squeeze", [positive, build.constant(np.array([1]))], ["map"]))
    return build


def _on_grid(evidence: NDArray[np.float32]) -> NDArray[np.float32]:
    image = PIL.Image.fromarray(np.ascontiguousarray(evidence, np.float32))
    return np.asarray(image.resize((GRID, GRID), PIL.Image.Resampling.BILINEAR))
