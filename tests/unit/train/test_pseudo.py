"""Pseudo-boxes: as many as annotators would have drawn, the doubtful ones ignored."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from millscale.core.types import Boxes
from millscale.train.pseudo import firm_limits, pseudo_boxes, teaches


def boxes(*named: tuple[int, float]) -> Boxes:
    """One box of 10 pixels for each (class, score)."""
    count = len(named)
    return Boxes(np.tile([0.0, 0, 10, 10], (count, 1)), [c for c, _ in named], [s for _, s in named])


def test_a_limit_lets_through_as_many_as_were_drawn_an_image():
    annotated = [boxes((0, 1.0), (0, 1.0)), boxes((1, 1.0), (0, 1.0))]  # 1.5 and 0.5 an image
    found = [boxes((0, 0.9), (0, 0.7), (0, 0.4)), boxes((1, 0.6), (0, 0.8), (1, 0.5))]
    assert_allclose(firm_limits(found, annotated, 2, 1.0, 0.0), [0.7, 0.6])
    assert_allclose(firm_limits(found, annotated, 2, 0.67, 0.0), [0.8, 0.6])


def test_boxes_that_were_drawn_to_be_ignored_ask_for_none():
    drawn = Boxes([[0, 0, 9, 9]] * 3, [0, 0, 0], difficult=[False, True, True])
    assert_allclose(firm_limits([boxes((0, 0.9), (0, 0.7), (0, 0.4))], [drawn], 1, 1.0, 0.0), [0.9])


def test_a_class_found_too_seldom_is_let_through_down_to_the_least():
    assert_allclose(firm_limits([boxes((0, 0.9))], [boxes((0, 1.0), (0, 1.0), (1, 1.0))], 2, 1.0, 0.3), 0.3)
    assert_allclose(firm_limits([boxes()], [boxes()], 2, 1.0, 0.3), 0.3)


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 1, width=32)), max_size=6), min_size=1, max_size=6),
    st.floats(0.1, 2),
    st.floats(0, 1),
)
def test_limits_are_scores_and_a_larger_share_never_raises_them(found, share, least):
    images, annotated = [boxes(*one) for one in found], [boxes((0, 1.0), (1, 1.0))]
    limits = firm_limits(images, annotated, 3, share, least)
    assert ((limits >= least) & (limits <= 1)).all()
    assert (firm_limits(images, annotated, 3, 2 * share, least) <= limits).all()


def test_boxes_below_the_limit_are_ignored_and_weak_ones_dropped():
    found = boxes((0, 0.8), (0, 0.5), (1, 0.5), (0, 0.2), (1, 0.1))
    made = pseudo_boxes(found, np.array([0.7, 0.4]), 0.5)
    assert_allclose(made.score, [0.8, 0.5, 0.5])
    assert_array_equal(made.class_id, [0, 0, 1])
    assert_array_equal(made.difficult, [False, True, False])


@pytest.mark.parametrize(
    ("named", "limit", "expected"), [([], 0.5, True), ([0.9, 0.3], 0.5, True), ([0.4, 0.3], 0.5, False)]
)
def test_images_with_doubtful_boxes_alone_teach_nothing(named, limit, expected):
    made = pseudo_boxes(boxes(*((0, score) for score in named)), np.array([limit]), 0.0)
    assert teaches(made) is expected
