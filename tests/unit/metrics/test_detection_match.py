import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from millscale.metrics.detection_match import assign, class_matches

A = (0, 0, 10, 10)
B = (20, 0, 30, 10)
HALF = np.array([0.5])


def taken(found, truth, difficult=(), thresholds=HALF):
    corners = [np.array(boxes, float).reshape(-1, 4) for boxes in (found, truth)]
    flags = np.isin(np.arange(len(truth)), difficult)
    return assign(*corners, flags, thresholds).tolist()


@pytest.mark.parametrize(
    ("found", "truth", "difficult", "expected"),
    [
        pytest.param([A], [(0, 0, 10, 8), (0, 0, 10, 9), (0, 0, 10, 7)], [], [1], id="the best overlap"),
        pytest.param([A], [(0, 0, 10, 8), (0, 2, 10, 10), B], [], [1], id="of equal ones the last"),
        pytest.param([A, A], [(0, 0, 10, 8), (0, 0, 10, 9)], [], [1, 0], id="the next one takes what is left"),
        pytest.param([A, A], [A], [], [0, -1], id="a true box is found once"),
        pytest.param([(0, 0, 10, 5)], [A], [], [0], id="just enough"),
        pytest.param([(0, 0, 10, 4.9)], [A], [], [-1], id="just too little"),
        pytest.param([(2, 2, 4, 4)], [A], [], [-1], id="a small part of a true box"),
        pytest.param([(2, 2, 4, 4)], [A], [0], [0], id="a small part of a difficult box"),
        pytest.param([A, A, A], [A], [0], [0, 0, 0], id="a difficult box is never used up"),
        pytest.param([A], [(0, 0, 10, 5)], [0], [0], id="half of it in a difficult box"),
        pytest.param([A], [(0, 0, 10, 4.9)], [0], [-1], id="less than half of it in a difficult box"),
        pytest.param([A], [(0, 0, 10, 6), A], [1], [0], id="a true box before a difficult one"),
        pytest.param([A, A], [A, (0, 0, 20, 20)], [1], [0, 1], id="a difficult box where the true one is gone"),
        pytest.param([(3, 3, 3, 9)], [A], [0], [-1], id="an empty box lies in nothing"),
        pytest.param([A], [], [], [-1], id="nothing to find"),
        pytest.param([], [A], [], [], id="nothing found"),
    ],
)
def test_which_true_box_is_taken(found, truth, difficult, expected):
    assert taken(found, truth, difficult) == [expected]


def test_each_threshold_matches_by_itself():
    assert taken([(0, 0, 10, 8), A], [A], thresholds=np.array([0.5, 0.8, 0.9])) == [[0, -1], [0, -1], [-1, 0]]


def test_matches_of_one_class_by_falling_score(detections):
    table = detections(
        ([(0, A), (1, B), (0, B, "difficult")], [(0, A, 0.25), (0, B, 0.5), (1, B, 0.9)]),
        ([], []),
        ([(0, A), (0, B)], [(0, A, 0.75), (0, A, 0.125)]),
    )
    ours = class_matches(table, 0, HALF)
    assert_array_equal(ours.image, [2, 0, 0, 2])
    assert_allclose(ours.score, [0.75, 0.5, 0.25, 0.125])
    assert_array_equal(ours.hit, [[True, False, True, False]])
    assert_array_equal(ours.ignored, [[False, True, False, False]])
    assert_array_equal(ours.truths, [1, 0, 2])


def test_a_hundred_boxes_of_a_class_count_in_an_image_the_surest_first(detections):
    weak = [(0, B, 0.5)] * 100
    table = detections(([(0, A)], [(0, A, 0.4), *weak, (1, A, 0.9)]), ([(0, A)], [*weak[1:], (0, A, 0.4)]))
    ours = class_matches(table, 0, HALF)
    assert_array_equal(np.bincount(ours.image), [100, 100])
    assert_array_equal(ours.image[ours.hit[0]], [1])
