"""The pretrained networks compute what the frozen backbones of the same name compute."""

import os

import numpy as np
import pytest
from numpy.testing import assert_allclose

torch = pytest.importorskip("torch")

from millscale.features.backbone import open_backbones  # noqa: E402
from millscale.runtime.backends.onnxruntime import Network  # noqa: E402
from millscale.train.network import build_network, network_spec  # noqa: E402

needs_weights = pytest.mark.skipif(
    "MILLSCALE_WEIGHTS" not in os.environ, reason="set MILLSCALE_WEIGHTS to the folder of pretrained weights"
)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("resnet18", marks=needs_weights),
        pytest.param("mobilenet_v2", marks=needs_weights),
        "millscale_s",
    ],
)
def test_the_network_starts_as_the_backbone(name):
    images = np.random.default_rng(0).normal(size=(2, 3, 96, 64)).astype(np.float32)
    backbone = open_backbones(name)[0]
    maps = Network(backbone.data, name, threads=1).run({_input(backbone.data): images}, backbone.spec.outputs)
    expected = np.concatenate([s for m in maps for s in (m.mean((2, 3)), m.std((2, 3)))], axis=1)
    network = build_network(network_spec(name), 2, (96, 64), seed=0).eval()
    with torch.no_grad():
        found = network.features(torch.from_numpy(images)).numpy()
    assert found.shape == expected.shape
    # The deviation of a silent channel is 0.001 here and 0 there.
    assert_allclose(found, expected, atol=2e-3, rtol=1e-3)


def _input(data: bytes) -> str:
    return Network(data, "backbone", threads=1).inputs[0]
