"""Closed forms of weighted box fusion."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millscale.core.types import Boxes
from millscale.runtime.fusion import common_scales, fuse, rescaled

NONE = Boxes(np.zeros((0, 4)), np.zeros(0))
A, B = [0, 0, 10, 10], [0, 0, 10, 8]  # IoU .8


def boxes(*entries):
    """(box, class, score) each."""
    return Boxes([e[0] for e in entries], [e[1] for e in entries], [e[2] for e in entries])


def fused(found, weights=None, **options):
    answer = fuse(found, weights, **options)
    return list(zip(answer.class_id.tolist(), answer.score.tolist(), answer.xyxy.tolist(), strict=True))


@pytest.mark.parametrize(
    ("found", "weights", "expected"),
    [
        # agreement: the same box, the same score
        ([boxes((A, 0, 0.8)), boxes((A, 0, 0.8))], None, [(0, 0.8, A)]),
        # mean score, corners by score: bottom (.9·10 + .3·8) / 1.2
        ([boxes((A, 0, 0.9)), boxes((B, 0, 0.3))], None, [(0, 0.6, [0, 0, 10, 9.5])]),
        # seen by one of two: half the score
        ([boxes((A, 0, 0.8)), NONE], None, [(0, 0.4, A)]),
        ([boxes((A, 0, 0.8)), NONE, NONE, NONE], None, [(0, 0.2, A)]),
        # other classes do not meet
        ([boxes((A, 0, 0.8)), boxes((A, 1, 0.6))], None, [(0, 0.4, A), (1, 0.3, A)]),
        # a weight of 3 to 1: score (3·.4 + .8) / 4, corners by 1.2 and .8
        ([boxes((A, 0, 0.4)), boxes((B, 0, 0.8))], (3, 1), [(0, 0.5, [0, 0, 10, 9.2])]),
        # three of one detector and one of another: their mean, never more
        ([boxes((A, 0, 0.9), (A, 0, 0.6), (A, 0, 0.3)), boxes((A, 0, 0.2))], None, [(0, 0.5, A)]),
        # one heavy detector's two boxes count as its weight and no more
        ([boxes((A, 0, 0.9), (A, 0, 0.9)), NONE], (3, 1), [(0, 0.9, A)]),
        ([NONE, NONE], None, []),
        ([boxes((A, 0, 0.0)), NONE], None, []),
        # equally strong: by class
        ([boxes((A, 1, 0.8)), boxes((A, 0, 0.8))], None, [(0, 0.4, A), (1, 0.4, A)]),
    ],
)
def test_worked_out_by_hand(found, weights, expected):
    answer = fused(found, weights)
    assert [(c, pytest.approx(s), pytest.approx(box)) for c, s, box in expected] == answer


def test_a_box_joins_what_it_overlaps_most():
    left, right, between = [0, 0, 10, 10], [4, 0, 14, 10], [1, 0, 11, 10]  # IoU .818 and .538
    answer = fused([boxes((left, 0, 0.9), (right, 0, 0.8)), boxes((between, 0, 0.1))], iou=0.5)
    assert [box for _, _, box in answer] == [pytest.approx([0.1, 0, 10.1, 10]), pytest.approx(right)]


def test_an_overlap_on_the_threshold_founds_another():
    found = [boxes((A, 0, 0.9)), boxes((B, 0, 0.3))]
    assert len(fused(found, iou=0.8)) == 2
    assert len(fused(found, iou=0.799)) == 1


def test_the_weak_and_the_many_are_left_out():
    found = [boxes((A, 0, 0.8), ([20, 0, 30, 10], 0, 0.6), ([40, 0, 50, 10], 0, 0.1))]
    assert [s for _, s, _ in fused(found, least_score=0.3)] == [pytest.approx(0.8), pytest.approx(0.6)]
    assert [s for _, s, _ in fused(found, most=1)] == [pytest.approx(0.8)]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        # the strongest of each become .7, the second .4
        ([[0.9, 0.5], [0.3, 0.5]], [[(0.5, 0.4), (0.9, 0.7)], [(0.3, 0.4), (0.5, 0.7)]]),
        # what the others have no partner for is left to the line below
        ([[0.9, 0.5, 0.1], [0.5]], [[(0.9, 0.7)], [(0.5, 0.7)]]),
        # one that gives two boxes the same score cannot tell them apart
        ([[0.8, 0.8], [0.6, 0.2]], [[(0.8, 0.6)], [(0.2, 0.5), (0.6, 0.7)]]),
        # one that is too sure of all tells nothing
        ([[1.0, 1.0, 0.5], [0.6, 0.2, 0.0]], [[(0.5, 0.25), (1, 0.7)], [(0.2, 0.6), (0.6, 0.8)]]),
        ([[0.9, 0.5], []], [[], []]),
    ],
)
def test_scales_worked_out_by_hand(scores, expected):
    found = common_scales([np.array(one, np.float32) for one in scores])
    for scale, inside in zip(found, expected, strict=True):
        end = [(1, 1)] if (1, 0.7) not in inside else []
        assert [pytest.approx(point) for point in [(0, 0), *inside, *end]] == scale


def test_between_the_points_of_a_scale_are_lines():
    found = boxes((A, 0, 0.8), (A, 1, 0.25), (B, 0, 1.0))
    answer = rescaled(found, ((0, 0), (0.5, 0.1), (1, 1)))
    assert answer.score.tolist() == pytest.approx([0.1 + 0.9 * 0.6, 0.05, 1.0])
    assert (answer.xyxy == found.xyxy).all()
    assert (answer.class_id == found.class_id).all()


@given(st.lists(st.lists(st.integers(1, 9999), min_size=3, max_size=10, unique=True), min_size=2, max_size=4))
def test_on_one_scale_the_strongest_boxes_of_all_detectors_are_equally_strong(scores):
    found = [boxes(*((A, 0, score / 10000) for score in own)) for own in scores]
    scales = common_scales([one.score for one in found])
    answers = [rescaled(one, scale) for one, scale in zip(found, scales, strict=True)]
    least = min(map(len, scores))
    first = np.sort(answers[0].score)[::-1][:least]
    for before, after in zip(found, answers, strict=True):
        assert np.sort(after.score)[::-1][:least] == pytest.approx(first, abs=2e-4)
        assert (np.diff(after.score[np.argsort(before.score)]) >= 0).all()
