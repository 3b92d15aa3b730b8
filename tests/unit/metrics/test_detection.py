import json
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from millscale.core.errors import DataError, MillscaleError
from millscale.metrics.bootstrap import wilson_interval

A = (0, 0, 10, 10)
B = (20, 0, 30, 10)
HALF = {"a": 0.5, "b": 0.5}


@pytest.fixture
def needs_coco():
    pytest.importorskip("faster_coco_eval")


@pytest.fixture
def some(detections):
    """Two true boxes of a, one of them difficult, one that is missed; b is found and never there."""
    return detections(
        ([(0, A), (0, B, "difficult")], [(0, A, 0.75), (0, B, 0.9), (1, A, 0.625)]),
        ([(0, A)], [(0, B, 0.875), (0, A, 0.25)]),
    )


def test_numbers_by_hand(needs_coco, some):
    ours = some.evaluate(thresholds={"b": 0.625, "a": 0.5}, resamples=20)
    # By falling score: a false alarm, a hit, a hit; the box in the difficult one does not count.
    assert_allclose(ours.ap50, [2 / 3, np.nan])
    assert_allclose([ours.map50, ours.map50_95], 2 / 3)
    assert_allclose(ours.curve_precision[0], np.full(101, 2 / 3))
    # COCO reaches recall 0 with the surest box, also with one that does not count.
    assert_allclose(ours.curve_score[0], [0.9] + [0.75] * 50 + [0.25] * 50)
    assert_array_equal(ours.truths, [2, 0])
    assert_allclose(ours.box_precision, [1 / 2, 0])
    assert_allclose(ours.box_recall, [1 / 2, np.nan])
    # At its threshold b is found on A, but a is surer and takes it.
    assert_array_equal(ours.confusion, [[1, 0, 1], [0, 0, 0], [1, 1, 0]])
    assert_allclose([ours.rates.escape_rate, ours.rates.overkill_rate], [0, np.nan])
    assert (ours.images, ours.groups, ours.classes) == (2, 2, ("a", "b"))


def test_a_class_without_truth_is_null_in_json(needs_coco, some):
    text = json.dumps(some.evaluate(thresholds=HALF, resamples=20).to_json(), allow_nan=False)
    document = json.loads(text)
    assert document["ap50"] == {"a": pytest.approx(2 / 3), "b": None}
    assert document["ap50_95"]["b"] is None
    assert document["overkill_rate"] is None
    assert document["map50"] == pytest.approx(2 / 3)
    assert document["per_class"]["b"] == {
        "truths": 0,
        "box_precision": 0.0,
        "box_recall": None,
        "image_recall": None,
        "image_false_alarm_rate": 0.5,
        "coverage_recall": None,
        "coverage_precision": 0.0,
        "coverage_iou": 0.0,
    }
    assert document["curves"]["precision"]["b"] == document["curves"]["score"]["b"] == [None] * 101
    assert document["curves"]["recall"] == [i / 100 for i in range(101)]
    assert document["intervals"]["ap50/b"] == document["intervals"]["overkill_rate"] == [None, None]
    low, high = document["intervals"]["map50"]
    assert low <= 2 / 3 <= high
    assert document["confusion_names"] == ["a", "b", "background"]
    assert document["confusion"] == [[1, 0, 1], [0, 0, 0], [1, 1, 0]]
    assert document["interval_method"]["resamples"] == 20


def test_nothing_to_find_leaves_all_precision_undefined(needs_coco, detections):
    ours = detections(([], [(0, A, 0.9)]), ([], [])).evaluate(thresholds=HALF, resamples=5)
    assert np.isnan([ours.map50, ours.map50_95, *ours.ap50, *ours.ap50_95]).all()
    assert ours.rates.overkill_rate == 0.5
    assert ours.to_json()["map50"] is None


def test_nothing_found_is_zero(needs_coco, detections):
    ours = detections(([(0, A)], []), ([(1, A)], [])).evaluate(thresholds=HALF, resamples=5)
    assert_array_equal(ours.ap50, [0, 0])
    assert (ours.map50, ours.rates.escape_rate) == (0, 1)
    assert np.isnan(ours.box_precision).all()
    assert ours.to_json()["curves"]["score"]["a"] == [None] * 101


@pytest.mark.parametrize(("groups", "count"), [(None, 30), ([f"coil {i // 3}" for i in range(30)], 10)])
def test_a_perfect_detector_keeps_a_lower_bound_that_hangs_on_its_groups(needs_coco, detections, groups, count):
    table = detections(*[([(0, A)], [(0, A, 0.9)])] * 30, groups=groups)
    ours = table.evaluate(thresholds=HALF, resamples=20)
    assert ours.groups == count
    for key in ("map50", "map50_95", "ap50/a", "ap50_95/a"):
        assert_allclose(ours.intervals[key], wilson_interval(1, count))


def test_boxes_that_are_all_hit_do_not_widen_an_ap_that_is_far_from_1(needs_coco, detections):
    """In each image a false alarm stands before the hit: AP is 1/2 in all of them and in any draw of them."""
    ours = detections(*[([(0, A)], [(0, B, 0.9), (0, A, 0.5)])] * 30).evaluate(thresholds=HALF, resamples=20)
    assert_allclose([ours.map50, *ours.intervals["map50"], *ours.intervals["ap50/a"]], 0.5)


def test_each_image_is_judged_at_its_own_limit(needs_coco, some):
    ours = some.evaluate(thresholds=HALF, limits=np.array([[0.8, 1], [0.25, 1]]), resamples=5)
    assert_allclose(ours.box_precision, [1 / 2, np.nan])  # in the second image a false alarm and a hit
    assert_allclose(ours.box_recall, [1 / 2, np.nan])
    assert_array_equal(ours.confusion, [[1, 0, 1], [0, 0, 0], [1, 0, 0]])
    assert_allclose(ours.rates.image_recall, [1, np.nan])
    assert_array_equal(ours.thresholds, [0.5, 0.5])
    assert ours.to_json()["thresholds_crossfitted"] is True
    assert some.evaluate(thresholds=HALF, resamples=5).to_json()["thresholds_crossfitted"] is False


def test_a_score_just_at_its_threshold_counts_everywhere(needs_coco, detections):
    ours = detections(([(0, A)], [(0, A, 0.7)])).evaluate(thresholds={"a": 0.7, "b": 0.7}, resamples=5)
    assert (ours.box_recall[0], ours.rates.image_recall[0], ours.confusion[0, 0]) == (1, 1, 1)


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"a": 0.5}, "a threshold for each of a, b, found none for b; take those of the bundle's card"),
        ({"a": 0.5, "b": 1.5}, r"thresholds in \[0, 1\], found \[0.5, 1.5\]; they are scores"),
        ({"a": -0.1, "b": 0.5}, r"thresholds in \[0, 1\], found \[-0.1, 0.5\]"),
        ({"a": float("nan"), "b": 0.5}, r"thresholds in \[0, 1\], found \[nan, 0.5\]"),
    ],
)
def test_thresholds_that_are_none(some, thresholds, message):
    with pytest.raises(DataError, match=message):
        some.evaluate(thresholds=thresholds)


def test_a_missing_library_is_named_with_the_command_that_installs_it(some, monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(
        MillscaleError, match=r'faster-coco-eval .*missing; install it: pip install "millscale\[learn\]"'
    ):
        some.evaluate(thresholds=HALF)
