"""Every anomaly method, found by its file name: it fits, and calls strange patches stranger than good ones."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from scipy.ndimage import uniform_filter

from millscale.core import plugins
from millscale.features.graph import Builder
from millscale.learn.anomalies import METHODS
from millscale.learn.patches import NEIGHBOURHOOD, Patches, finest
from millscale.runtime.backends.onnxruntime import Network

NAMES = plugins.names(METHODS)
D = 12


def patches(seed: int = 0, count: int = 600) -> Patches:
    """Good patches near a plane, drawn ones off it."""
    rng = np.random.default_rng(seed)
    basis = rng.normal(size=(3, D))
    good = rng.normal(size=(count, 3)) @ basis + 0.05 * rng.normal(size=(count, D))
    off = rng.normal(size=(count, 3)) @ basis + rng.normal(size=(count, D)) + 2
    images = good.reshape(-1, 30, D)
    wholes = np.concatenate([images.mean(1), images.std(1)], axis=1)
    inside = uniform_filter(np.ones((count, 1)), (NEIGHBOURHOOD, 1), mode="constant")
    around = uniform_filter(good[:, : finest(D)], (NEIGHBOURHOOD, 1), mode="constant") / inside
    parts = (good, rng.random((count, 2)), off, good[::-1], around, wholes)
    return Patches(*(each.astype(np.float32) for each in parts))


def evidence(method: str, given: Patches, vectors: np.ndarray, bank: int = 50) -> np.ndarray:
    """What the method's graph says of these ``(n, d)`` vectors."""
    build = Builder()
    fitted = plugins.load(METHODS, method).fit(given, bank, 8, 0)
    name = fitted.build(build, "features")
    build.nodes.append(helper.make_node("Identity", [name], ["evidence"]))
    floats = TensorProto.FLOAT
    graph = build.model(
        [helper.make_tensor_value_info("features", floats, ["n", D, "h", "w"])],
        [helper.make_tensor_value_info("evidence", floats, ["n", 1, "h", "w"])],
    )
    onnx.checker.check_model(onnx.load_model_from_string(graph))
    return Network(graph, method, threads=1).run({"features": vectors.T[None, :, None]})[0][0, 0, 0]


@pytest.mark.parametrize("name", NAMES)
def test_says_what_it_is(name: str):
    module = plugins.load(METHODS, name)
    assert module.DESCRIPTION
    assert isinstance(module.DRAWN, bool)


@pytest.mark.parametrize("name", NAMES)
def test_strange_patches_score_above_good_ones_that_it_never_saw(name: str):
    unseen = patches(seed=0, count=900)
    given = Patches(
        unseen.good[:600],
        unseen.places[:600],
        unseen.drawn[:600],
        unseen.beside[:300],
        unseen.around[:600],
        unseen.wholes[:13],
    )
    good, strange = (evidence(name, given, part[600:]) for part in (unseen.good, unseen.drawn))
    assert np.isfinite(good).all()
    assert np.isfinite(strange).all()
    assert (strange[:, None] > good[None]).mean() > 0.95


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_bits(name: str):
    given = patches()
    first, second = (evidence(name, given, given.drawn) for _ in range(2))
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_a_feature_that_never_changes_harms_nothing(name: str):
    given = patches()
    parts = {name: np.where(np.arange(D) == 3, 1.0, getattr(given, name)) for name in ("good", "drawn", "beside")}
    still = replace(given, **{name: part.astype(np.float32) for name, part in parts.items()})
    assert np.isfinite(evidence(name, still, still.drawn)).all()
