"""Every clustering method, found by its file name: it finds clear groups, the same ones each time."""

import numpy as np
import pytest

from millscale.core import plugins
from millscale.learn.clusters import METHODS, cluster
from millscale.learn.embedding import Embedding, unit
from millscale.metrics.clusters import UNSORTED, cluster_scores

NAMES = plugins.names(METHODS)
TRUTH = np.repeat(np.arange(4), 40)


def blobs(spread: float = 0.12, truth: np.ndarray = TRUTH, seed: int = 0) -> Embedding:
    """Points about orthogonal directions, each in a group with its neighbour."""
    rng = np.random.default_rng(seed)
    plain = unit(np.eye(8)[truth] + spread * rng.normal(size=(len(truth), 8)))
    return Embedding(plain, np.arange(len(truth)) // 2)


@pytest.mark.parametrize("name", NAMES)
def test_says_what_it_is(name: str):
    module = plugins.load(METHODS, name)
    assert module.DESCRIPTION
    assert isinstance(module.COUNTED, bool)


@pytest.mark.parametrize("name", NAMES)
def test_clear_groups_are_found(name: str):
    found = plugins.load(METHODS, name).fit(blobs(), 4, 0)
    assert found.shape == (160,)
    assert found.dtype == np.int64
    assert cluster_scores(TRUTH, found).accuracy > 0.95


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_clusters(name: str):
    fit = plugins.load(METHODS, name).fit
    assert np.array_equal(fit(blobs(0.5), 5, 3), fit(blobs(0.5), 5, 3))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("images", [4, 5, 9])
def test_a_few_images_suffice(name: str, images: int):
    found = cluster(blobs(truth=np.arange(images) % 2), method=name, seed=1)
    assert set(found.labels.tolist()) <= {*range(found.count), UNSORTED}
    assert len(found.cluster_stability) == found.count


@pytest.mark.parametrize("name", NAMES)
def test_images_that_are_all_alike_are_no_error(name: str):
    same = Embedding(np.tile(unit(np.ones((1, 3))), (30, 1)), np.arange(30))
    found = cluster(same, method=name, clusters=None)
    assert found.count <= 2
    assert np.isfinite(found.stability)


@pytest.mark.parametrize("name", NAMES)
def test_images_of_a_single_group_are_no_error(name: str):
    single = Embedding(blobs().plain, np.zeros(160, np.int64))
    assert np.isfinite(cluster(single, method=name).stability)


@pytest.mark.parametrize("name", [name for name in NAMES if plugins.load(METHODS, name).COUNTED])
def test_as_many_as_asked_for(name: str):
    for number in (2, 7, 30):
        assert len(np.unique(plugins.load(METHODS, name).fit(blobs(0.5), number, 0))) == number
