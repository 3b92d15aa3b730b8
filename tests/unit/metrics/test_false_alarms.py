import numpy as np
import pytest
from scipy import stats

from millscale.core.errors import DataError, UsageError
from millscale.metrics.false_alarms import rate_for, threshold_by_cost, threshold_for


def test_the_threshold_is_the_conformal_quantile():
    chosen = threshold_for(np.arange(1.0, 100), None, 0.05)  # the 95th of 99
    assert chosen.threshold == pytest.approx(95)
    assert (chosen.rate_asked, chosen.expected_rate) == (0.05, pytest.approx(0.05))
    assert (chosen.groups, chosen.images, chosen.extrapolated) == (99, 99, False)
    assert chosen.upper_bound == pytest.approx(stats.binomtest(5, 99).proportion_ci(0.9).high)
    assert chosen.to_json()["threshold"] == chosen.threshold


def test_what_is_left_of_the_rate_moves_it_towards_the_next_score():
    assert threshold_for(np.arange(1.0, 100), None, 0.055).threshold == pytest.approx(94.5)


@pytest.mark.parametrize(("rate", "extrapolated"), [(0.0101, False), (0.0100, False), (0.0099, True), (0.0001, True)])
def test_a_rate_that_takes_more_groups_than_there_are_is_extrapolated(rate, extrapolated):
    chosen = threshold_for(np.arange(1.0, 100), None, rate)
    assert chosen.extrapolated == extrapolated
    assert chosen.expected_rate == pytest.approx(rate)
    assert chosen.upper_bound > 1 - 0.05 ** (1 / 99) - 1e-9  # more cannot be known from 99 groups, whatever is asked


def test_a_smaller_rate_gives_a_higher_threshold():
    scores = np.random.default_rng(0).gamma(2, size=150)
    thresholds = [threshold_for(scores, None, rate).threshold for rate in (0.5, 0.1, 0.02, 0.005, 0.001)]
    assert thresholds == sorted(thresholds)
    assert thresholds[0] == pytest.approx(np.median(scores), rel=0.02)
    assert thresholds[-1] > scores.max()


@pytest.mark.parametrize("seed", range(5))
def test_a_larger_rate_never_gives_a_higher_threshold(seed):
    scores = np.append(np.random.default_rng(seed).gamma(2, size=39), 40.0)  # one of which is odd
    thresholds = [threshold_for(scores, None, rate).threshold for rate in np.linspace(0.005, 0.1, 40)]
    assert thresholds == sorted(thresholds, reverse=True)
    assert threshold_for(scores, None, 0.024).threshold >= 40


@pytest.mark.parametrize(("groups", "images", "rate"), [(2, 3, 0.9), (5, 3, 0.95), (20, 6, 0.999)])
def test_a_rate_near_one_bounds_nothing(groups, images, rate):
    scores = np.random.default_rng(0).random(groups * images) + 1
    chosen = threshold_for(scores, np.repeat(np.arange(groups), images), rate)
    assert chosen.upper_bound == 1
    assert chosen.threshold <= scores.min()


@pytest.mark.parametrize("rate", [0.001, 0.02, 0.3])
def test_the_rate_of_a_threshold_gives_it_back(rate):
    scores = np.random.default_rng(4).gamma(2, size=120)
    wanted = threshold_for(scores, None, rate).threshold
    found = rate_for(scores, None, wanted)
    assert rate <= found <= 1.01 * rate
    assert threshold_for(scores, None, found).threshold <= wanted


def test_images_of_one_group_that_score_alike_count_once():
    scores = np.random.default_rng(0).gamma(2, size=120)
    alone = threshold_for(scores, None, 0.03)
    six = threshold_for(np.repeat(scores, 6), np.repeat(np.arange(120), 6), 0.03)
    assert (six.threshold, six.upper_bound) == pytest.approx((alone.threshold, alone.upper_bound))
    assert (six.groups, six.images) == (120, 720)


def test_each_group_weighs_the_same():
    # a group of a thousand high scores is one of a hundred
    scores = np.concatenate([np.linspace(1, 2, 99), np.linspace(8, 9, 1000)])
    groups = [*map(str, range(99)), *["large"] * 1000]
    assert threshold_for(scores, groups, 0.05).threshold < 2.1


def test_scores_that_many_groups_share_are_not_rejected():
    scores = np.array([1.0] * 60 + [2.0] * 40)
    chosen = threshold_for(scores, None, 0.3)  # rejecting the 2 would be 40 %
    assert chosen.threshold > 2
    assert chosen.expected_rate == pytest.approx(1 / 101)
    assert threshold_for(scores, None, 0.5).threshold == pytest.approx(1.5)


def test_a_score_of_zero_is_never_rejected():
    assert threshold_for([0.0, 1.0, 2.0], None, 0.95).threshold == 0.5


@pytest.mark.parametrize(
    ("scores", "groups", "words"),
    [
        ([], None, "at least one image"),
        ([1.0, np.nan], None, "0 or more"),
        ([1.0, -1.0], None, "0 or more"),
        ([1.0, 2.0], ["a", "a"], "found 1 groups"),
        ([0.0] * 9, None, "found 9 groups and 1 different"),
    ],
)
def test_too_little_to_choose_by_is_refused(scores, groups, words):
    with pytest.raises(DataError, match=words):
        threshold_for(scores, groups, 0.01)


@pytest.mark.parametrize("rate", [0, 1, -0.1, float("nan")])
def test_a_rate_is_a_share(rate):
    with pytest.raises(UsageError, match="between 0 and 1"):
        threshold_for([1, 2, 3], None, rate)


@pytest.mark.parametrize(
    ("costs", "expected"),
    [((3, 2), 2.5), ((10, 1), 2.5), ((2, 3), 6.5), ((1, 1000), 6.5), ((1, 0), 0.5)],
)
def test_the_dearer_error_is_avoided(costs, expected):
    scores, bad = [1, 2, 3, 4, 5, 6, 7], [0, 0, 1, 0, 1, 0, 1]
    assert threshold_by_cost(scores, bad, None, *costs) == expected


def test_where_no_rejection_pays_there_is_none():
    assert threshold_by_cost([1, 2, 3], [True, False, False], None, 1, 1) == 6


def test_apart_good_and_defective_are_parted_in_the_middle():
    assert threshold_by_cost([1, 2, 8, 9], [False, False, True, True], None, 1, 1) == 5


def test_the_share_of_defects_weighs_the_errors():
    scores, bad = [1, 2, 3, 4, 5, 6, 7], [0, 0, 1, 0, 1, 0, 1]
    assert threshold_by_cost(scores, bad, None, 10, 1, defect_rate=0.01) == 6.5
    assert threshold_by_cost(scores, bad, None, 1, 1, defect_rate=0.99) == 2.5


def test_a_group_of_many_images_weighs_as_one():
    scores, bad = [2, 1, 3, 3, 3, 3], [1, 1, 0, 0, 0, 0]  # one good piece, photographed four times, above two defects
    assert threshold_by_cost(scores, bad, None, 1, 1) == 6
    assert threshold_by_cost(scores, bad, ["a", "b", *"cccc"], 1, 1) == 0.5


def test_a_score_of_zero_cannot_be_rejected():
    assert threshold_by_cost([0, 0, 1], [1, 1, 0], None, 1, 1) > 0


@pytest.mark.parametrize("bad", [[0, 0], [1, 1], [1]])
def test_costs_need_both_good_and_defective_images(bad):
    with pytest.raises(DataError, match="rate of false alarms"):
        threshold_by_cost([1, 2], bad, None, 1, 1)


@pytest.mark.parametrize("costs", [(-1, 1, None), (1, -1, None), (1, 1, 1.5)])
def test_costs_are_not_negative(costs):
    with pytest.raises(UsageError, match="costs of 0 or more"):
        threshold_by_cost([1, 2], [0, 1], None, *costs)
