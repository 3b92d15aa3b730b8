"""What anomaly methods compute in their graphs, against what is plain to see."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist, mahalanobis
from tests.contract.test_anomaly_methods import evidence, patches

from millscale.features.backbone import open_backbones
from millscale.features.patch_graph import patch_graph
from millscale.imaging.preprocess import IMAGENET_MEAN, IMAGENET_STD
from millscale.learn.anomaly import gaussian, patchcore
from millscale.learn.anomaly_graph import Usual, anomaly_graph, evidence_graph, usual
from millscale.runtime.anomaly import raw_score
from millscale.runtime.backends.onnxruntime import Network


@pytest.mark.parametrize("size", [3, 50])
def test_patchcore_is_the_mean_distance_to_the_nearest_five_of_its_bank(size: int):
    given, asked = patches(), patches(seed=3)
    bank = patchcore.fit(given, size, 8, 0)
    own = asked.drawn @ bank.weight + bank.bias
    nearest = np.sort(cdist(own, bank.patches), axis=1)[:, :5]
    found = evidence("patchcore", given, asked.drawn, bank=size)
    assert found == pytest.approx(np.log(nearest.mean(1) + 1e-3), abs=1e-3)


def test_the_whole_is_the_mahalanobis_distance_of_its_moments():
    given = patches(count=1800)
    asked = patches(seed=3).drawn[:50].astype(np.float64)
    moments = np.concatenate([asked.mean(0), asked.std(0)])
    mean, deviation = given.wholes.mean(0), given.wholes.std(0)
    shrunk = 0.97 * np.cov(((given.wholes - mean) / deviation).T) + 0.03 * np.eye(24)
    expected = np.log(mahalanobis((moments - mean) / deviation, np.zeros(24), np.linalg.inv(shrunk)) / np.sqrt(24))
    assert evidence("whole", given, asked.astype(np.float32)) == pytest.approx(np.full(50, expected), abs=1e-3)


def test_each_patch_of_the_coreset_is_the_farthest_from_those_before():
    vectors = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    chosen = patchcore._coreset(vectors, 20)
    for count in range(1, 20):
        distances = cdist(vectors, vectors[chosen[:count]]).min(1)
        assert distances[chosen[count]] == pytest.approx(distances.max())


def test_gaussian_is_mahalanobis():
    given, asked = patches(), patches(seed=3)
    good = given.good.astype(np.float64)
    covariance = np.cov(good.T)
    covariance += (gaussian._SHRINKAGE * np.trace(covariance) / 12 + 1e-9) * np.eye(12)
    inverse = np.linalg.inv(covariance)
    expected = [np.log(mahalanobis(one, good.mean(0), inverse) ** 2 + 1e-3) for one in asked.drawn[:50]]
    assert evidence("gaussian", given, asked.drawn[:50]) == pytest.approx(np.array(expected), abs=2e-3)


class _Plane:
    """Evidence that is one of the features."""

    def __init__(self, channel: int) -> None:
        self.channel = channel

    def build(self, build, features: str) -> str:
        bounds = (build.constant(np.array([i])) for i in (self.channel, self.channel + 1, 1))
        return build.op("Slice", features, *bounds)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (1, 64, 96, 3), np.uint8)


def test_evidence_is_laid_on_a_common_scale_and_averaged(image):
    backbones = open_backbones("millscale_s")
    planes = [_Plane(3), _Plane(200)]
    found = Network(evidence_graph(backbones, planes), "e", threads=1).run({"images": image})[0][0]
    scales = [Usual(np.full((24, 24), mean), np.full((24, 24), deviation)) for mean, deviation in ((0.2, 0.5), (-1, 2))]
    answer = Network(anomaly_graph(backbones, planes, scales), "a", threads=1).run({"images": image})[0][0]
    fused = ((found[0] - 0.2) / 0.5 + (found[1] + 1) / 2) / 2
    assert answer == pytest.approx(np.logaddexp(0, fused), abs=1e-4)


def test_patches_are_the_maps_of_stride_8_and_16_averaged_over_3_by_3(image):
    backbones = open_backbones("millscale_s")
    features = Network(patch_graph(backbones), "p", threads=1).run({"images": image})[0][0]
    pixels = ((image / 255 - IMAGENET_MEAN) / IMAGENET_STD).astype(np.float32).transpose(0, 3, 1, 2)
    maps = Network(backbones[0].data, "b", threads=1).run({"image": pixels}, ["stride8", "stride16"])
    fine, coarse = (_averaged(each[0].astype(np.float64)) for each in maps)
    assert features[:128] == pytest.approx(fine, abs=1e-4)
    # Between the centres of coarse places lies what is linear between them; beyond the outer ones nothing changes.
    rows, columns = ((np.arange(2 * side) + 0.5) / 2 - 0.5 for side in coarse.shape[1:])
    across = np.stack([[np.interp(columns, np.arange(len(row)), row) for row in plane] for plane in coarse])
    whole = np.stack([[np.interp(rows, np.arange(len(c)), c) for c in plane.T] for plane in across]).transpose(0, 2, 1)
    assert features[128:384] == pytest.approx(whole, abs=1e-4)
    assert features[384:388] == pytest.approx(np.stack(_inside(*features.shape[1:])), abs=1e-6)


def _inside(height: int, width: int) -> list[np.ndarray]:
    """Of windows of 5 and of 15 places, up and down and across, the share within the image."""
    found = []
    for reach in (5, 15):
        for sides in ((reach, 1), (1, reach)):
            share = np.zeros((height, width))
            for y in range(height):
                for x in range(width):
                    rows = [y + i for i in range(-(sides[0] // 2), sides[0] // 2 + 1)]
                    columns = [x + i for i in range(-(sides[1] // 2), sides[1] // 2 + 1)]
                    share[y, x] = np.mean([0 <= r < height and 0 <= c < width for r in rows for c in columns])
            found.append(share)
    return found


def _averaged(maps: np.ndarray) -> np.ndarray:
    """Mean of the up to nine neighbours that there are."""
    total, count = np.zeros_like(maps), np.zeros(maps.shape[1:])
    height, width = maps.shape[1:]
    for y in range(height):
        for x in range(width):
            near = maps[:, max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
            total[:, y, x], count[y, x] = near.sum((1, 2)), near.shape[1] * near.shape[2]
    return total / count


def test_usual_evidence_is_the_mean_and_deviation_by_place():
    rng = np.random.default_rng(0)
    place = np.add.outer(np.linspace(0, 4, 24), np.linspace(0, 2, 24))
    found = usual([(place + rng.normal(0, 0.5, (24, 24))).astype(np.float32) for _ in range(400)])
    inner = (slice(3, -3),) * 2
    assert found.mean[inner] == pytest.approx(place[inner], abs=0.1)
    assert found.deviation[inner] == pytest.approx(np.full((18, 18), 0.5), abs=0.05)


def test_the_score_is_the_mean_of_the_worst_hundredth():
    patch = np.arange(400, dtype=np.float32).reshape(20, 20)
    assert raw_score(patch) == pytest.approx(np.mean([396, 397, 398, 399]))
    assert raw_score(patch[:1, :5]) == 4.0
