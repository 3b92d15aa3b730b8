"""Clusters against classes, on partitions small enough to count by hand."""

import pytest

from millscale.core.errors import DataError
from millscale.metrics.clusters import agreement_of, cluster_scores, contingency, matched

SAME = [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("clusters", "accuracy", "nmi", "ari"),
    [
        (SAME, 1.0, 1.0, 1.0),
        ([5, 5, 0, 0, 9, 9], 1.0, 1.0, 1.0),  # numbers mean nothing
        ([0, 0, 0, 0, 0, 0], 2 / 6, 0.0, 0.0),  # one cluster is matched to one class
        ([-1, -1, -1, -1, -1, -1], 0.0, 0.0, 0.0),  # unsorted images are matched to none
        ([0, 0, 1, 1, -1, -1], 4 / 6, 1.0, 1.0),
    ],
)
def test_scores_counted_by_hand(clusters, accuracy, nmi, ari):
    found = cluster_scores(SAME, clusters)
    assert (found.accuracy, found.nmi, found.ari) == pytest.approx((accuracy, nmi, ari))


def test_a_cluster_too_many_costs_its_images():
    assert cluster_scores([0, 0, 0, 1], [0, 0, 1, 2]).accuracy == pytest.approx(3 / 4)


def test_one_class_in_one_cluster_agrees_wholly():
    found = cluster_scores([0, 0, 0], [7, 7, 7])
    assert (found.accuracy, found.nmi, found.ari) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(("gain", "pairs"), [([[1, 9], [2, 8]], ((0, 1), (1, 0))), ([[3], [5]], ((1, 0),))])
def test_the_best_pairs(gain, pairs):
    assert matched(gain) == pairs


@pytest.mark.parametrize(("a", "b"), [([], []), ([0, 1], [0]), ([[0]], [[0]])])
def test_what_is_no_pair_of_partitions_is_refused(a, b):
    with pytest.raises(DataError, match="same images"):
        contingency(a, b)


def test_agreement_of_opposite_halves_is_below_chance():
    assert agreement_of([0, 0, 1, 1], [0, 1, 0, 1]) < 0
