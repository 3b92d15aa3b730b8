"""One ONNX graph from pixels to patch features: one vector for every eighth pixel in both directions, of our backbones.

    images (n, h, w, 3) uint8 → normalise → backbone(s) → the maps of stride 8 and 16, each averaged over 3 × 3,
    the coarser one enlarged → features (n, d, h', w')

These are the locally aware patch features of PatchCore (Roth et al., CVPR 2022, section 3.1).
"""

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto, helper

from millscale.features.backbone import Backbone
from millscale.features.graph import IMAGES, Builder, feature_maps, normalised

_NEIGHBOURS = 3


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
    return build.op("Concat", averaged[0], *(sized_as(build, each, averaged[0]) for each in averaged[1:]), axis=1)


def sized_as(build: Builder, resized: str, like: str) -> str:
    """``resized (n, c, ., .)``, bilinearly brought to the height and width of ``like``."""
    own = build.op("Slice", build.op("Shape", resized), *(build.constant(np.array([i])) for i in (0, 2)))
    sides = build.op("Slice", build.op("Shape", like), *(build.constant(np.array([i])) for i in (2, 4)))
    return build.op("Resize", resized, "", "", build.op("Concat", own, sides, axis=0), mode="linear")


def _middle(maps: list[str]) -> list[str]:
    """The maps of stride 8 and 16: backbones list theirs from stride 4 or 8 on."""
    return maps[1:3] if len(maps) > 2 else maps[-2:]
