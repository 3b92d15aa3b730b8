import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from millscale.metrics import detection_ap
from millscale.metrics.detection_ap import RECALLS, average_precision, resampled_ap, weighted_ap
from millscale.metrics.detection_match import ClassMatches


def matches(hit, truths, ignored=None, image=None):
    hits = np.atleast_2d(np.array(hit, bool))
    count = hits.shape[1]
    return ClassMatches(
        image=np.zeros(count, np.int64) if image is None else np.array(image),
        score=np.linspace(0.9, 0.1, count),
        hit=hits,
        ignored=np.zeros_like(hits) if ignored is None else np.atleast_2d(np.array(ignored, bool)),
        truths=np.atleast_1d(truths),
    )


@pytest.mark.parametrize(
    ("hit", "ignored", "truths", "expected"),
    [
        pytest.param([1, 1], [0, 0], 2, 1.0, id="perfect"),
        pytest.param([1, 0, 1], [0, 0, 0], 2, (51 + 50 * 2 / 3) / 101, id="a false alarm between"),
        pytest.param([0, 1, 1], [0, 0, 0], 2, 2 / 3, id="the best precision at this recall or beyond"),
        pytest.param([1, 0, 0], [0, 0, 0], 2, 51 / 101, id="one missed"),
        pytest.param([0, 1, 0], [1, 0, 0], 1, 1.0, id="an ignored box before"),
        pytest.param([1, 0, 0, 1], [0, 1, 0, 0], 2, (51 + 50 * 2 / 3) / 101, id="an ignored box between"),
        pytest.param([0, 0], [0, 0], 3, 0.0, id="no hit"),
        pytest.param([], [], 3, 0.0, id="nothing found"),
        pytest.param([0], [0], 0, np.nan, id="nothing to find"),
    ],
)
def test_average_precision_by_hand(hit, ignored, truths, expected):
    assert_allclose(average_precision(matches(hit, truths, ignored)), [expected])


def test_each_iou_threshold_has_its_own():
    ours = average_precision(matches([[1, 1], [0, 1], [0, 0]], 2))
    assert_allclose(ours, [1, 0.5 * 51 / 101, 0])


def test_a_recall_that_is_just_reached_counts_as_float64_compares_it():
    for truths in range(1, 61):
        shares = [(hits / truths >= RECALLS).mean() for hits in range(1, truths + 1)]
        ours = [average_precision(matches([1] * hits, truths))[0] for hits in range(1, truths + 1)]
        assert_allclose(ours, shares, atol=1e-12)


def test_weights_count_a_group_as_often_as_it_was_drawn():
    two = matches([0, 1], truths=[1, 1], image=[1, 0])  # a false alarm in image 1, then the hit in image 0
    weights = np.array([[1, 1], [2, 0], [0, 2], [3, 1], [0, 0]], float)
    expected = [0.5 * 51 / 101, 1, 0, 0.75 * 76 / 101, np.nan]
    assert_allclose(weighted_ap(two, weights, np.array([0, 1]))[:, 0], expected)
    assert_allclose(weighted_ap(two, np.array([[1.0], [5.0]]), np.array([0, 0]))[:, 0], [0.5 * 51 / 101] * 2)


def test_an_ignored_box_counts_neither_way_however_often_it_was_drawn():
    two = matches([0, 1], truths=[1, 1], ignored=[1, 0], image=[1, 0])
    assert_allclose(weighted_ap(two, np.array([[1, 1], [1, 3]], float), np.array([0, 1]))[:, 0], [51 / 101, 26 / 101])


def test_resamples_do_not_depend_on_how_they_are_cut_into_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    many = matches(rng.random((3, 80)) < 0.5, truths=np.full(20, 4), image=rng.integers(0, 20, 80))
    whole = resampled_ap(many, np.arange(20), seed=3, resamples=30)
    assert whole.shape == (30, 3)
    assert len(np.unique(whole[:, 0])) > 20
    monkeypatch.setattr(detection_ap, "_BLOCK", 7 * 80)
    assert_array_equal(resampled_ap(many, np.arange(20), seed=3, resamples=30), whole)


def test_a_resample_without_a_true_box_is_undefined():
    one = matches([1], truths=[1, 0], image=[0])
    drawn = resampled_ap(one, np.arange(2), seed=0, resamples=60)[:, 0]
    assert set(drawn[~np.isnan(drawn)]) == {1.0}
    assert 5 < np.isnan(drawn).sum() < 30  # one in four
