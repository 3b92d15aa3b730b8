"""Evidence inside the graph against the same by scipy, slowly."""

import numpy as np
import pytest
from onnx import TensorProto, helper
from scipy.spatial.distance import cdist, mahalanobis

from millscale.features.graph import Builder
from millscale.learn.anomaly import patchcore, whole
from millscale.learn.anomaly_graph import Evidence
from millscale.learn.patches import Patches
from millscale.runtime.backends.onnxruntime import Network

D = 6


def patches(seed: int = 0) -> Patches:
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(80, 30, D)) @ rng.normal(size=(D, D)) + rng.normal(size=(80, 1, D))
    good = images.reshape(-1, D)
    wholes = np.concatenate([images.mean(1), images.std(1)], axis=1)
    empty = np.zeros((0, D))
    return Patches(
        *(each.astype(np.float32) for each in (good, rng.random((len(good), 2)), empty, empty, good, wholes))
    )


def of(evidence: Evidence, features: np.ndarray) -> np.ndarray:
    """The map ``(h, w)`` of features ``(h, w, D)``."""
    build = Builder()
    build.nodes.append(helper.make_node("Identity", [evidence.build(build, "features")], ["evidence"]))
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", d, "h", "w"])
        for name, d in (("features", D), ("evidence", 1))
    ]
    network = Network(build.model(values[:1], values[1:]), "evidence", threads=1)
    given = features.transpose(2, 0, 1)[None].astype(np.float32)
    return np.asarray(network.run({"features": given}, ["evidence"])[0][0, 0])


def test_the_whole_is_mahalanobis_distance_of_its_moments() -> None:
    given = patches()
    features = np.random.default_rng(1).normal(size=(5, 7, D)) * 2 + 1
    x = np.concatenate([features.mean((0, 1)), features.std((0, 1))])
    mean, deviation = given.wholes.mean(0), given.wholes.std(0)
    covariance = 0.97 * np.cov(((given.wholes - mean) / deviation).T) + 0.03 * np.eye(2 * D)
    expected = mahalanobis((x - mean) / deviation, np.zeros(2 * D), np.linalg.inv(covariance)) / np.sqrt(2 * D)
    found = of(whole.fit(given, 0, 0, 0), features)
    assert found.shape == (5, 7)
    np.testing.assert_allclose(np.exp(found), expected, rtol=1e-3)


@pytest.mark.parametrize("bank", [3, 200])
def test_patchcore_is_the_mean_distance_to_the_nearest_five(bank: int) -> None:
    given = patches()
    fitted = patchcore.fit(given, bank, 4, 0)
    features = np.random.default_rng(2).normal(size=(4, 9, D)) * 3
    projected = features.reshape(-1, D) @ fitted.weight + fitted.bias
    nearest = np.sort(cdist(projected, fitted.patches), axis=1)[:, :5].mean(1)
    np.testing.assert_allclose(np.exp(of(fitted, features)).ravel(), nearest + 1e-3, rtol=2e-3)
