"""What every registered backbone promises, whoever adds it."""

import dataclasses
import re

import numpy as np
import onnx
import pytest

from millscale.core import plugins
from millscale.core.errors import ModelError
from millscale.features.backbone import DEFAULT_BACKBONE, PACKAGE, BackboneSpec, open_backbones, spec_of
from millscale.features.graph import VIEWS, feature_graph
from millscale.runtime.backends.onnxruntime import Network

NAMES = plugins.names(PACKAGE)


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def opened():
    """Opens a backbone once, or skips where its file is not on this machine."""
    known = {}

    def open_once(name):
        if name not in known:
            try:
                known[name] = open_backbones(name)[0]
            except ModelError as error:
                if spec_of(name).packaged or "expected the published" in str(error):
                    raise
                pytest.skip(f"needs {name}.onnx: set MILLSCALE_WEIGHTS to the folder that holds it")
        return known[name]

    return open_once


def test_the_usual_backbones_are_there():
    assert {"millscale_s", "mobilenet_v2", "resnet18", "resnet50v2", "squeezenet1_1"} <= set(NAMES)
    assert DEFAULT_BACKBONE in NAMES


def test_its_spec_is_complete(name):
    spec = spec_of(name)
    assert isinstance(spec, BackboneSpec)
    assert spec.name == name
    assert len(spec.outputs) == len(set(spec.outputs)) > 0
    for text in (spec.description, spec.licence):
        assert text.strip() == text
        assert text
    assert spec.packaged or re.fullmatch("[0-9a-f]{64}", spec.sha256 or "")
    assert plugins.load(PACKAGE, name).__doc__


def test_its_spec_cannot_be_changed(name):
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec_of(name).sha256 = None


@pytest.fixture
def network(name, opened):
    return Network(opened(name).data, name, threads=1)


def maps(network, name, images):
    return network.run({network.inputs[0]: images}, spec_of(name).outputs)


def test_it_takes_images_of_any_size_and_gives_maps(name, network):
    assert len(network.inputs) == 1
    assert set(spec_of(name).outputs) <= set(network.outputs)
    noise = np.random.default_rng(0).normal(size=(2, 3, 96, 64)).astype(np.float32)
    for cut in (noise, noise[:1, :, :64], noise[:, :, :33, :47]):
        height, width = cut.shape[2:]
        found = maps(network, name, cut)
        strides = [round(height / m.shape[2]) for m in found]
        for m in found:
            assert m.shape[0] == len(cut)
            assert m.dtype == np.float32
            assert np.isfinite(m).all()
            assert 1 <= m.shape[2] <= height
            assert 1 <= m.shape[3] <= width
        assert strides == sorted(strides)


def test_a_batch_gives_what_each_image_gives(name, network):
    batch = np.random.default_rng(1).normal(size=(3, 3, 64, 80)).astype(np.float32)
    together = maps(network, name, batch)
    for i in range(3):
        for whole, single in zip(together, maps(network, name, batch[i : i + 1]), strict=True):
            np.testing.assert_allclose(whole[i], single[0], atol=1e-3 * np.abs(whole).max())


def test_its_maps_depend_on_the_image(name, network):
    rng = np.random.default_rng(2)
    first, second = (maps(network, name, rng.normal(size=(1, 3, 64, 64)).astype(np.float32)) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert np.abs(a - b).max() > 1e-3


def test_it_fits_the_feature_graph(name, opened):
    backbone = opened(name)
    graph = Network(feature_graph([backbone]), name, threads=1)
    image = np.random.default_rng(3).integers(0, 256, (1, 64, 48, 3), dtype=np.uint8)
    (features,) = graph.run({"images": image})
    assert features.shape[:2] == (1, VIEWS)
    assert features.shape[2] >= 32
    assert np.isfinite(features).all()
    assert features.std(axis=2).min() > 0


def test_what_ships_is_small():
    for spec in map(spec_of, NAMES):
        if spec.packaged:
            backbone = open_backbones(spec.name)[0]
            assert len(backbone.data) < 6 * 2**20
            assert onnx.load_model_from_string(backbone.data).ir_version <= 10
