"""Points to be grouped: the nuisance that pictures of one surface show is overlooked."""

import numpy as np
import pytest

from millscale.learn.clustering.spherical_kmeans import fit
from millscale.learn.embedding import Embedding, embed, unit
from millscale.metrics.clusters import cluster_scores

KINDS = np.repeat(np.arange(3), 60)


def lit(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features of three kinds under a light that varies more, and surfaces, each taken twice."""
    rng = np.random.default_rng(seed)
    surface = np.arange(180) // 2
    kind = np.eye(20)[KINDS]
    light = 6 * np.outer(rng.normal(size=180), np.eye(20)[7])
    return kind + light + 0.15 * rng.normal(size=(180, 20)), surface


def found(points: Embedding) -> float:
    return cluster_scores(KINDS, fit(points, 3, 0)).accuracy


def test_what_differs_on_one_surface_does_not_count():
    vectors, surface = lit()
    assert found(embed(vectors, surface, surface)) == 1.0
    assert found(embed(vectors, surface, np.arange(180))) < 0.8


def test_images_that_only_share_a_group_may_differ():
    """A coil holds several kinds: being of one coil makes no two images alike."""
    vectors, surface = lit()
    coil = np.tile(np.arange(30), 6)
    assert found(embed(vectors, coil, surface)) == 1.0


def test_a_point_is_drawn_to_other_groups_only():
    plain = unit(np.array([[1.0, 0.02], [1.0, 0.0], [0.0, 1.0], [0.02, 1.0]]))
    apart = Embedding(plain, np.arange(4)).points
    assert apart[0] @ apart[1] > plain[0] @ plain[1]
    together = Embedding(plain, np.array([0, 0, 1, 1])).points
    assert together[0] @ together[2] > plain[0] @ plain[2]


@pytest.mark.parametrize("adapt", [False, True])
def test_rows_are_of_unit_length_and_the_same_each_time(adapt):
    vectors, surface = lit()
    first, second = (embed(vectors, surface, surface, adapt=adapt).points for _ in range(2))
    assert np.linalg.norm(first, axis=1) == pytest.approx(np.ones(180))
    assert first.tobytes() == second.tobytes()


def test_adapting_keeps_clear_kinds():
    vectors, surface = lit()
    assert found(embed(vectors, surface, surface, adapt=True)) == 1.0


@pytest.mark.parametrize("shape", [(4, 3), (5, 900), (40, 300)])
def test_more_features_than_images(shape):
    vectors = np.random.default_rng(0).normal(size=shape)
    assert np.isfinite(embed(vectors, np.arange(len(vectors)), np.arange(len(vectors))).points).all()


def test_identical_images_stay_finite():
    points = embed(np.ones((6, 9)), np.arange(6), [0, 0, 1, 1, 2, 2])
    assert np.isfinite(points.points).all()


def test_copies_of_a_file_teach_nothing():
    """The rounding by which they differ must not be taken for what differs on one surface."""
    rng = np.random.default_rng(0)
    vectors = np.eye(20)[KINDS] + 0.15 * rng.normal(size=(180, 20))
    vectors[1::2] = vectors[::2] * (1 + 1e-9 * rng.normal(size=(90, 20)))
    alone = embed(vectors, np.arange(180) // 2, np.arange(180)).plain
    assert embed(vectors, np.arange(180) // 2, np.arange(180) // 2).plain == pytest.approx(alone)
