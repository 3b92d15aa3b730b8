import numpy as np
import pytest

from millscale.explain.faithfulness import Faithfulness, areas, changed_images, judged

HEAT = np.array([[0.1, 0.9], [0.5, 0.5]])  # second pixel first, then the third before the fourth, as they stand
IMAGE, HIDDEN = np.full((2, 2, 3), 9, np.uint8), np.zeros((2, 2, 3), np.uint8)


def test_the_hottest_pixels_go_first_and_come_first():
    found = [image[:, :, 0].ravel().tolist() for image in changed_images(IMAGE, HIDDEN, HEAT, 4)]
    assert found[:3] == [[9, 0, 9, 9], [9, 0, 0, 9], [9, 0, 0, 0]]
    assert found[3:] == [[0, 9, 0, 0], [0, 9, 9, 0], [0, 9, 9, 9]]
    assert (IMAGE == 9).all()
    assert (HIDDEN == 0).all()


@pytest.mark.parametrize(
    ("between", "whole", "nothing", "deletion", "insertion"),
    [
        ([0.5, 0.5], 1, 0, 0.5, 0.5),
        ([0, 1], 1, 0, 0.25, 0.75),  # gone at once, there at once
        ([0.8, 0.4, 0.4, 0.8], 1, 0.2, 0.6, 0.6),  # (.5 + .8 + .4 + .1) / 3
        ([0.6, 0.6], 0.6, 0.6, 0.6, 0.6),
    ],
)
def test_areas_are_those_of_the_trapezoids(between, whole, nothing, deletion, insertion):
    assert areas(np.array(between), whole, nothing) == pytest.approx((deletion, insertion))


def test_a_map_beats_only_those_it_is_better_than():
    found = judged((0.2, 0.7), [(0.5, 0.5), (0.1, 0.6), (0.1, 0.7)])
    # differences .5 against 0, .5 and .6
    assert found == Faithfulness(0.2, 0.7, pytest.approx(0.7 / 3), pytest.approx(0.6), 1, 3)
    assert not found.better
    assert judged((0.2, 0.7), [(0.5, 0.5)] * 9).better
    assert not judged((0.5, 0.5), [(0.5, 0.5)]).better
