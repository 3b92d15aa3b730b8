"""One ONNX graph from pixels to patch features: one vector for every eighth pixel in both directions, of our backbones.

    images (n, h, w, 3) uint8 → normalise → backbone(s) → the maps of stride 8 and 16, each averaged over 3 × 3,
    the coarser one enlarged, and how near the border is → features (n, d, h', w')

The maps are the locally aware patch features of PatchCore (Roth et al., CVPR 2022, section 3.1).
"""

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto, helper

from millscale.features.backbone import Backbone
from millscale.features.graph import IMAGES, Builder, feature_maps, normalised

_NEIGHBOURS = 3
_REACHES = (5, 15)
"""Of the windows that tell how near the border is, in patches."""


def patch_graph(backbones: Sequence[Backbone]) -> bytes:
    """The network ``images`` → ``features (n, d, h', w')``."""
    build = Builder()
    features = patch_features(build, backbones)
    build.nodes.append(helper.make_node("Identity", [features], ["features"]))
    return build.model([IMAGES], [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", "d", "h8", "w8"])])


def patch_features(build: Builder, backbones: Sequence[Backbone]) -> str:
    """The name of the features ``(n, d, h', w')`` of the graph's images."""
    pixels = normalised(build)
    maps = [each for backbone in backbones for each in _middle(feature_maps(build, backbone, pixels))]
    pad = _NEIGHBOURS // 2
    averaged = [
        build.op("AveragePool", each, kernel_shape=[_NEIGHBOURS] * 2, pads=[pad] * 4, count_include_pad=0)
        for each in maps
    ]
    aligned = [averaged[0], *(sized_as(build, each, averaged[0]) for each in averaged[1:])]
    return build.op("Concat", *aligned, *_border(build, averaged[0]), axis=1)


def _border(build: Builder, like: str) -> list[str]:
    """Four maps ``(n, 1, h, w)``: of a window around each place, up and down and across, the share within the image."""
    first = build.op("Slice", like, *(build.constant(np.array([i])) for i in (0, 1, 1)))
    ones = build.op("Add", build.op("Mul", first, _number(build, 0.0)), _number(build, 1.0))
    kernels = [side for reach in _REACHES for side in ([reach, 1], [1, reach])]
    return [
        build.op("AveragePool", ones, kernel_shape=kernel, pads=[side // 2 for side in kernel] * 2, count_include_pad=1)
        for kernel in kernels
    ]


def _number(build: Builder, value: float) -> str:
    return build.constant(np.array(value, np.float32))


def sized_as(build: Builder, resized: str, like: str) -> str:
    """``resized (n, c, ., .)``, bilinearly brought to the height and width of ``like``."""
    own = build.op("Slice", build.op("Shape", resized), *(build.constant(np.array([i])) for i in (0, 2)))
    sides = build.op("Slice", build.op("Shape", like), *(build.constant(np.array([i])) for i in (2, 4)))
    return build.op("Resize", resized, "", "", build.op("Concat", own, sides, axis=0), mode="linear")


def _middle(maps: list[str]) -> list[str]:
    """The maps of stride 8 and 16: backbones list theirs from stride 4 or 8 on."""
    return maps[1:3] if len(maps) > 2 else maps[-2:]
