"""How many, how sure, and which image where."""

import numpy as np
import pytest

from millscale.core.errors import UsageError
from millscale.learn.clusters import Count, _part, chosen, cluster, evidence, largest_first, stability
from millscale.learn.embedding import Embedding, unit
from millscale.metrics.clusters import UNSORTED, cluster_scores


def kinds(count: int, each: int = 40, spread: float = 0.15) -> tuple[Embedding, np.ndarray]:
    truth = np.repeat(np.arange(count), each)
    rng = np.random.default_rng(count)
    plain = unit(np.eye(12)[truth] + spread * rng.normal(size=(len(truth), 12)))
    return Embedding(plain, np.arange(len(truth))), truth


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_the_number_of_clear_kinds_is_found(count):
    points, truth = kinds(count)
    found = cluster(points)
    assert found.count == count
    assert cluster_scores(truth, found.labels).accuracy == 1.0
    assert found.stability > 0.95
    assert [entry.clusters for entry in found.evidence] == list(range(2, 16))


def test_the_fewest_within_one_standard_error():
    seen = [Count(2, 0.1, 0.3, 0.01, 1.0), Count(3, 0.38, 0.02, 0.03, 1.0), Count(4, 0.4, 0.0, 0.0, 0.9)]
    assert chosen(seen) == 3
    assert chosen([seen[0], seen[2]]) == 4


def test_what_has_no_kinds_is_less_stable():
    rng = np.random.default_rng(0)
    noise = Embedding(unit(rng.normal(size=(200, 12))), np.arange(200))
    assert cluster(noise, clusters=5).stability < 0.5
    assert cluster(kinds(5)[0], clusters=5).stability > 0.95


def test_each_cluster_has_its_own_stability():
    """Two clear kinds, and a third that is split in two at will."""
    points, truth = kinds(3, each=60)
    labels = np.where(truth == 2, 2 + np.arange(180) % 2, truth)

    def again(half: Embedding) -> np.ndarray:
        nearest = (half.plain[:, :3]).argmax(1)
        return np.where(nearest == 2, 2 + (half.plain[:, 5] > 0), nearest)

    whole, parts = stability(points, labels, again)
    assert parts[:2] == pytest.approx([1, 1])
    assert (parts[2:] < 0.6).all()
    assert 0.5 < whole < 1


def test_typical_images_are_near_the_centre_and_doubtful_ones_between_two():
    points, _ = kinds(3)
    between = unit(points.plain[:1] + points.plain[50:51])
    found = cluster(Embedding(np.vstack([points.plain, between]), np.arange(121)), clusters=3)
    assert found.silhouette.argmin() == 120
    assert found.typicality[120] < np.median(found.typicality)
    assert {int(found.labels[120]), int(found.second[120])} == {int(found.labels[0]), int(found.labels[50])}


def test_sparse_images_stay_unsorted():
    points, _ = kinds(3)
    strange = unit(np.random.default_rng(1).normal(size=(12, 12)))
    found = cluster(Embedding(np.vstack([points.plain, strange]), np.arange(132)), method="hdbscan")
    assert found.count == 3
    assert not found.evidence
    lost = found.labels == UNSORTED
    assert lost[120:].sum() > 6
    assert not lost[:120].any()
    assert np.isnan(found.typicality[lost]).all()
    assert np.isnan(found.silhouette[lost]).all()


def test_copies_of_one_photograph_are_no_kind():
    """Forty crops of one photograph lie close together, within one of two kinds."""
    points, _ = kinds(2, each=60)
    crops = unit(points.plain[:1] + 0.02 * np.random.default_rng(5).normal(size=(40, 12)))
    groups = np.concatenate([np.arange(120), np.zeros(40, np.int64)])
    found = cluster(Embedding(np.vstack([points.plain, crops]), groups))
    assert found.count == 2
    assert len(set(found.labels[120:].tolist()) | {int(found.labels[0])}) == 1


def test_evidence_needs_no_more_clusters_than_images():
    assert [entry.clusters for entry in evidence(kinds(2, each=3)[0])] == [2, 3, 4, 5]


def test_many_images_are_looked_at_in_part(monkeypatch):
    monkeypatch.setattr("millscale.learn.clusters.MOST_IMAGES", 90)
    points, truth = kinds(4, each=60)
    found = cluster(Embedding(points.plain, np.arange(240) // 2))
    assert found.count == 4
    assert cluster_scores(truth, found.labels).accuracy == 1.0


@pytest.mark.parametrize("groups", [np.repeat(np.arange(2), 120), np.r_[0, np.ones(239, np.int64)]])
def test_of_large_groups_a_part_of_each_is_looked_at(monkeypatch, groups):
    monkeypatch.setattr("millscale.learn.clusters.MOST_IMAGES", 90)
    points, _ = kinds(4, each=60)
    part = _part(Embedding(points.plain, groups), seed=0)
    assert len(part) == 90
    assert sorted(np.bincount(part.groups).tolist()) == sorted([45, 45] if groups.sum() == 120 else [1, 89])


def test_an_unknown_method_names_the_others():
    with pytest.raises(UsageError, match="spherical_kmeans"):
        cluster(kinds(2)[0], method="kmeans")


def test_numbers_by_size():
    assert largest_first(np.array([4, -1, 7, 7, 4, 7])).tolist() == [1, -1, 0, 0, 1, 0]
