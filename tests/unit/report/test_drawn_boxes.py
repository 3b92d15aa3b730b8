import numpy as np
import pytest

from millscale.core.types import Boxes
from millscale.report.drawn_boxes import (
    CLASS_COLORS,
    IGNORED,
    MISSED,
    TRUE,
    class_color,
    drawn_boxes,
    place_labels,
    text_height,
)

NAMES = ("scratch", "pit")
TRUTH = Boxes([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]], [0, 1, 0], difficult=[0, 0, 1])
FOUND = Boxes([[60, 60, 70, 70], [80, 80, 90.126, 90]], [1, 0], [0.87, 0.05])
HEIGHT, SIDE = 6.4, 0.62 * 5.2  # of a label on 100 pixels: text of 5.2 between margins of .6; width of one letter


def test_found_boxes_are_solid_with_scores_and_the_truth_lies_above_them():
    drawn = drawn_boxes(TRUTH, FOUND, (100, 100), NAMES, missed=(1, 2), alarms=(0,))
    assert [(box.kind, box.color, box.label, box.tip) for box in drawn] == [
        ("found", class_color(0), ".05", "found: scratch .05"),
        ("alarm", class_color(1), ".87", "found: pit .87"),
        ("true", TRUE, "", "true: scratch"),
        ("missed", MISSED, "", "missed: pit"),
        ("ignored", IGNORED, "", "marked difficult: scratch"),  # never missed
    ]
    assert [box.xyxy for box in drawn[:3]] == [(80, 80, 90.13, 90), (60, 60, 70, 70), (0, 0, 10, 10)]


def test_of_many_boxes_only_those_that_are_pointed_out_bear_their_score():
    many = Boxes([[k, k, k + 20, k + 20] for k in range(13)], [0] * 13, np.linspace(0.9, 0.3, 13))
    nothing = Boxes(np.zeros((0, 4)), [])
    drawn = drawn_boxes(nothing, many, (100, 100), NAMES, alarms=(1,))
    assert [box.label for box in drawn] == [""] * 12 + [".85"]
    assert drawn[0].tip == "found: scratch .90"
    few = Boxes(many.xyxy[:12], many.class_id[:12], many.score[:12])
    assert all(box.label for box in drawn_boxes(nothing, few, (100, 100), NAMES))


def test_a_sure_score_keeps_its_one():
    (box,) = drawn_boxes(Boxes(np.zeros((0, 4)), []), Boxes([[0, 0, 9, 9]], [0], [1.0]), (50, 100), NAMES)
    assert box.label == "1.00"


def test_colours_differ_and_start_anew_after_the_last():
    assert len({class_color(i) for i in range(10)}) == 10
    assert class_color(10) == class_color(0) == CLASS_COLORS[0]


@pytest.mark.parametrize(("size", "height"), [((100, 200), 10.4), ((300, 200), 15.6)])
def test_letters_grow_with_the_longer_side(size, height):
    assert text_height(size) == pytest.approx(height)


@pytest.mark.parametrize(
    ("box", "left", "top"),
    [
        ([40, 40, 60, 60], 40, 40 - HEIGHT),  # above, to the left
        ([95, 40, 99, 60], 99 - 2 * SIDE - 1.2, 40 - HEIGHT),  # … to the right, since the left runs out
        ([40, 0, 60, 20], 40, 20),  # below, since there is nothing above
        ([0, 0, 100, 100], 0, 0),  # within
    ],
)
def test_a_label_stands_by_the_first_corner_with_room(box, left, top):
    place = [left, top, left + 2 * SIDE + 1.2, top + HEIGHT]
    np.testing.assert_allclose(place_labels(np.array([box], float), [".5"], (100, 100)), [place])


def test_labels_of_one_box_found_eight_times_stand_by_different_corners():
    places = place_labels(np.array([[30.0, 30, 70, 70]] * 8), [".5"] * 8, (100, 100))
    assert len({tuple(place) for place in places.round(3)}) == 8


def test_no_box_has_no_label():
    assert place_labels(np.zeros((0, 4)), [], (100, 100)).shape == (0, 4)
