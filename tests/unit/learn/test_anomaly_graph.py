"""Evidence and its scale apart give what they give together; what a student learns from is what its graph sees."""

from dataclasses import dataclass

import numpy as np
import pytest
from onnx import TensorProto, helper

from millscale.features.backbone import DEFAULT_BACKBONE, open_backbones
from millscale.features.graph import Builder
from millscale.features.patch_graph import patch_graph
from millscale.learn.anomaly_graph import anomaly_graph, evidence_graph, scaled_graph, usual
from millscale.learn.patches import NEIGHBOURHOOD, finest, sample
from millscale.runtime.backends.onnxruntime import Network

BACKBONES = open_backbones(DEFAULT_BACKBONE)


@dataclass(frozen=True)
class Channel:
    """Evidence that is one of the features."""

    index: int

    def build(self, build: Builder, features: str) -> str:
        return build.op("Slice", features, *(build.constant(np.array([i])) for i in (self.index, self.index + 1, 1)))


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (96, 128, 3)).astype(np.uint8) for _ in range(6)]


def test_evidence_scaled_afterwards_is_the_map_of_the_whole_graph(images) -> None:
    evidence = [Channel(3), Channel(200)]
    found = Network(evidence_graph(BACKBONES, evidence), "evidence", threads=1)
    maps = [found.run({"images": image[None]}, ["evidence"])[0][0] for image in images]
    scales = [usual([each[k] for each in maps], most) for k, most in enumerate((None, 0.5))]
    whole = Network(anomaly_graph(BACKBONES, evidence, scales), "whole", threads=1)
    after = Network(scaled_graph(scales), "scaled", threads=1)
    for image, each in zip(images, maps, strict=True):
        expected = whole.run({"images": image[None]}, ["map"])[0]
        np.testing.assert_allclose(after.run({"evidence": each[None]}, ["map"])[0], expected, rtol=1e-5)


def test_a_sample_has_the_neighbourhood_and_the_moments_that_graphs_compute(images) -> None:
    network = Network(patch_graph(BACKBONES), "patches", threads=1)
    (one,) = sample(network, lambda _: images[0], np.zeros(1, np.int64), drawn=False, seed=0, progress=lambda *_: None)
    features = network.run({"images": images[0][None]}, ["features"])[0]
    fine = finest(features.shape[1])
    build = Builder()
    sides = {"kernel_shape": [NEIGHBOURHOOD] * 2, "pads": [NEIGHBOURHOOD // 2] * 4, "count_include_pad": 0}
    name = build.op("AveragePool", "features", **sides)
    build.nodes.append(helper.make_node("Identity", [name], ["around"]))
    shape = ["n", fine, "h", "w"]
    values = [helper.make_tensor_value_info(key, TensorProto.FLOAT, shape) for key in ("features", "around")]
    pooled = Network(build.model(values[:1], values[1:]), "pool", threads=1)
    around = pooled.run({"features": features[:, :fine]}, ["around"])[0][0]
    # The sample is in another order, and every patch of a small image is in it.
    flat, expected = (each.reshape(len(each), -1).T for each in (features[0], around))
    places = (one.places * np.array(features.shape[2:])).astype(int)
    rows = places[:, 0] * features.shape[3] + places[:, 1]
    np.testing.assert_allclose(one.good, flat[rows], rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(one.around, expected[rows], rtol=5e-3, atol=5e-3)
    np.testing.assert_allclose(one.wholes[0], np.concatenate([flat.mean(0), flat.std(0)]), rtol=2e-3, atol=2e-3)
