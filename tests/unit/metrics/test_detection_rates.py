import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from millscale.metrics.detection_rates import (
    at_thresholds,
    box_confusion,
    matched_pairs,
    misses_and_alarms,
    shown_classes,
)
from millscale.runtime.decide import counting

A = (0, 0, 10, 10)
B = (20, 0, 30, 10)
C = (0, 20, 10, 30)
D = (20, 20, 30, 30)
# Not by falling score. The surest box on A names it wrongly; C is missed and D a false alarm.
MIXED = ([(0, A), (1, B), (0, C)], [(0, D, 0.6), (0, A, 0.8), (1, A, 0.9), (1, B, 0.7)])
HARD = ([(0, A, "difficult"), (1, B)], [(0, A, 0.9), (1, A, 0.8), (0, B, 0.7)])


def kept(table, thresholds):
    rows = at_thresholds(table, np.array(thresholds)).found
    return [boxes.score.astype(float).round(3).tolist() for boxes in rows]


def test_a_box_that_just_reaches_its_class_threshold_stays(detections):
    found = [(0, A, 0.69), (1, A, 0.7), (0, B, 0.7), (0, C, 0.8), (1, D, 0.95)]
    assert kept(detections(([], found)), [0.7, 0.9]) == [[0.7, 0.8, 0.95]]


def test_each_image_may_have_its_own_thresholds(detections):
    found = [(0, A, 0.25), (1, A, 0.5)]
    table = detections(([], found), ([], found), ([], found))
    assert kept(table, [[0.25, 0.6], [0.3, 0.5], [0, 0]]) == [[0.25], [0.5], [0.25, 0.5]]


def test_the_same_boxes_count_here_and_in_the_inspector(detections):
    hundredths = np.arange(1, 100) / 100
    table = detections(([], [(0, A, score) for score in hundredths]), classes="a")
    for threshold in hundredths:
        inspected = counting(table.found[0], ("a",), {"a": threshold})
        assert_array_equal(at_thresholds(table, np.array([threshold])).found[0].score, inspected.score)
        assert len(inspected) == round(100 * (1 - threshold))


def test_which_classes_an_image_shows(detections):
    table = detections(([(0, A), (2, B, "difficult"), (0, C, "difficult")], []), ([], []), classes="abc")
    counting, marked = shown_classes(table.truth, 3)
    assert_array_equal(counting, [[True, False, False], [False] * 3])
    assert_array_equal(marked, [[True, False, True], [False] * 3])


@pytest.mark.parametrize(
    ("image", "expected"),
    [  # rows: true a, true b, nothing; columns: found as a, as b, not found
        pytest.param(MIXED, [[0, 1, 1], [0, 1, 0], [2, 0, 0]], id="mixed"),
        pytest.param(HARD, [[0, 0, 0], [1, 0, 0], [0, 0, 0]], id="a difficult box takes no part"),
        pytest.param(([(0, A)], []), [[0, 0, 1], [0, 0, 0], [0, 0, 0]], id="missed"),
        pytest.param(([], [(1, A, 0.5)]), [[0, 0, 0], [0, 0, 0], [0, 1, 0]], id="false alarm"),
        pytest.param(([(0, A)], [(0, (0, 0, 10, 4), 0.9)]), [[0, 0, 1], [0, 0, 0], [1, 0, 0]], id="too little"),
        pytest.param(([], []), np.zeros((3, 3)), id="nothing"),
    ],
)
def test_confusion_by_hand(detections, image, expected):
    assert_array_equal(box_confusion(detections(image)), expected)
    assert_array_equal(box_confusion(detections(image, ([], []), image)), 2 * np.asarray(expected))


def test_pairs_misses_and_alarms_are_indices_of_the_boxes_given(detections):
    table = detections(MIXED, HARD)
    pairs, misses, alarms = matched_pairs(table.truth[0], table.found[0])
    assert sorted(pairs.tolist()) == [[0, 2], [1, 3]]
    assert misses.tolist() == [2]
    assert sorted(alarms.tolist()) == [0, 1]
    pairs, misses, alarms = matched_pairs(table.truth[1], table.found[1])
    assert (pairs.tolist(), misses.tolist(), alarms.tolist()) == ([[1, 2]], [], [])


@pytest.mark.parametrize(
    ("image", "misses", "alarms"),
    [
        pytest.param(MIXED, [2], [0, 2], id="a wrong name is a false alarm, the right one below it a hit"),
        pytest.param(HARD, [1], [1, 2], id="a difficult box of another class hides nothing"),
        pytest.param(([], []), [], [], id="nothing"),
    ],
)
def test_misses_and_alarms_of_each_class_by_itself(detections, image, misses, alarms):
    table = detections(image)
    ours = misses_and_alarms(table.truth[0], table.found[0])
    assert [part.tolist() for part in ours] == [misses, alarms]


def test_kept_boxes_keep_their_place(detections):
    (ours,) = at_thresholds(detections(MIXED), np.array([0.7, 0.8])).found
    assert_allclose(ours.xyxy, [A, A])
    assert ours.class_id.tolist() == [0, 1]
