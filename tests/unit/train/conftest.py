"""A teacher small enough for tests, and pictures that a glance tells apart."""

from collections.abc import Callable, Sequence

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from PIL import Image

from millscale.data.manifest import ImageRecord, Manifest
from millscale.features.backbone import Backbone, BackboneSpec


def _conv(x, name, channels_in, channels_out, rng):
    weight = rng.normal(size=(channels_out, channels_in, 3, 3), scale=0.3).astype(np.float32)
    node = helper.make_node("Conv", [x, f"{name}.w"], [name], pads=[1, 1, 1, 1], strides=[2, 2])
    return node, numpy_helper.from_array(weight, f"{name}.w")


@pytest.fixture
def tiny_teacher():
    """Makes a backbone of two random convolutions, 3 channels at stride 2 and 5 at stride 4."""

    def make(seed: int) -> Backbone:
        rng = np.random.default_rng(seed)
        parts = [_conv("image", "fine", 3, 3, rng), _conv("fine", "coarse", 3, 5, rng)]
        values = [
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", channels, "h", "w"])
            for name, channels in (("image", 3), ("fine", 3), ("coarse", 5))
        ]
        graph = helper.make_graph([n for n, _ in parts], "tiny", values[:1], values[1:], [w for _, w in parts])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return Backbone(BackboneSpec("tiny", "random", (), "none", None), model.SerializeToString())

    return make


@pytest.fixture(scope="session")
def shades(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Sequence[str]], Manifest]:
    """``shades(names)``: noisy images of 40×40 pixels, "bright" or "dark" as named, in groups of two."""

    def make(names: Sequence[str]) -> Manifest:
        folder, rng, records = tmp_path_factory.mktemp("shades"), np.random.default_rng(0), []
        for k, name in enumerate(names):
            pixels = rng.normal(190 if name == "bright" else 60, 20, (40, 40)).clip(0, 255).astype(np.uint8)
            path = folder / f"{name}-{k:02}.png"
            Image.fromarray(pixels).save(path)
            records.append(ImageRecord(path.name, path, name, group=f"g{k // 2}"))
        return Manifest(tuple(records), ("bright", "dark"), str(folder))

    return make
