"""Boxes of windows as boxes of the picture: 300 × 100 pixels in windows of 100, which share 33 or 34."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millscale.core.types import Boxes
from millscale.imaging.tiling import windows_of
from millscale.runtime.card import MOST, Detection
from millscale.runtime.windows import united

DETECTION = Detection(thresholds={})
SIZE, SIDE = (100, 300), 100
WINDOWS = windows_of(SIZE, SIDE)


def parts_of(boxes, windows=WINDOWS, score=lambda box, window: 0.5):
    """What each window shows of boxes ``(class, left, top, right, bottom)``, as a perfect detector finds it."""
    found = []
    for window in windows:
        left, top, right, bottom = window
        seen = [(k, max(a, left), max(b, top), min(c, right), min(d, bottom)) for k, a, b, c, d in boxes]
        rows = [
            (*one, score(box, window))
            for one, box in zip(seen, boxes, strict=True)
            if one[1] < one[3] and one[2] < one[4]
        ]
        rows.sort(key=lambda row: -row[5])
        table = np.array(rows, np.float64).reshape(-1, 6)
        found.append(Boxes(table[:, 1:5] - [left, top, left, top], table[:, 0], table[:, 5]))
    return found


def told(boxes):
    return sorted((int(k), *map(int, box)) for k, box in zip(boxes.class_id, boxes.xyxy, strict=True))


def test_the_windows_are_as_they_are_said_to_be():
    assert WINDOWS == [(0, 0, 100, 100), (67, 0, 167, 100), (133, 0, 233, 100), (200, 0, 300, 100)]


@pytest.mark.parametrize(
    "box",
    [
        (0, 10, 10, 40, 30),  # in one window alone
        (0, 70, 10, 95, 30),  # whole in two
        (0, 50, 10, 90, 30),  # whole in one, cut in the next
        (0, 50, 10, 120, 30),  # cut in two
        (0, 5, 40, 295, 50),  # a scratch through all
        (1, 0, 0, 300, 100),  # everything
    ],
)
def test_a_defect_is_one_box_wherever_windows_cut_it(box):
    assert told(united(parts_of([box]), WINDOWS, DETECTION)) == [box]


def test_it_scores_as_where_it_is_seen_best():
    best = {(0, 0, 100, 100): 0.3, (67, 0, 167, 100): 0.9}
    found = united(parts_of([(0, 50, 10, 120, 30)], score=lambda _, window: best[window]), WINDOWS, DETECTION)
    assert found.score.tolist() == pytest.approx([0.9])


def test_where_it_ends_is_told_by_those_that_are_sure():
    """The second window sees furthest to the right, but is less sure of it than a third of the first."""
    first, second = Boxes([[70, 10, 95, 30]], [0], [0.9]), Boxes([[3, 10, 40, 30]], [0], [0.2])
    rest = [Boxes([], [], [])] * 2
    assert told(united([first, second, *rest], WINDOWS, DETECTION)) == [(0, 70, 10, 95, 30)]
    surer = Boxes([[3, 10, 40, 30]], [0], [0.5])
    assert told(united([first, surer, *rest], WINDOWS, DETECTION)) == [(0, 70, 10, 107, 30)]


def test_of_those_that_see_as_far_only_those_that_are_as_sure_tell_where_it_ends():
    windows = [(0, 0, 100, 100), (0, 67, 100, 167)]
    first, second = Boxes([[20, 70, 50, 98]], [0], [0.9]), Boxes([[20, 3, 60, 31]], [0], [0.5])
    assert told(united([first, second], windows, DETECTION)) == [(0, 20, 70, 50, 98)]
    surer = Boxes(second.xyxy, [0], [0.85])
    assert told(united([first, surer], windows, DETECTION)) == [(0, 20, 70, 60, 98)]


@pytest.mark.parametrize(
    ("top", "right", "expected"),
    [
        (22, 98.5, [(0, 50, 10, 127, 42)]),  # pieces meet where the borders cut them, though they fill no common box
        (29, 98.5, [(0, 50, 10, 98, 30), (0, 68, 29, 127, 49)]),  # they hardly meet
        (22, 96, [(0, 50, 10, 96, 30), (0, 68, 22, 127, 42)]),  # the first ends before the border
    ],
)
def test_pieces_are_one_where_borders_cut_them_and_they_meet(top, right, expected):
    first, second = Boxes([[50, 10, right, 30]], [0], [0.9]), Boxes([[1, top, 60, top + 20]], [0], [0.9])
    assert told(united([first, second, *[Boxes([], [], [])] * 2], WINDOWS, DETECTION)) == expected


def test_more_boxes_than_any_picture_has_are_not_given():
    boxes = [(0, x, y, x + 8, y + 8) for x in range(2, 7990, 20) for y in (5, 45, 75)]
    windows = windows_of((100, 8000), SIDE)
    assert len(united(parts_of(boxes, windows), windows, DETECTION)) == MOST < len(boxes)


def test_what_lies_side_by_side_or_is_of_another_class_stays_apart():
    boxes = [(0, 50, 10, 120, 30), (0, 50, 32, 120, 50), (1, 50, 10, 120, 30), (0, 125, 10, 180, 30)]
    assert told(united(parts_of(boxes), WINDOWS, DETECTION)) == sorted(boxes)


def test_windows_that_disagree_about_what_both_see_give_two_boxes():
    found = [Boxes([[70, 10, 90, 20]], [0], [0.9]), Boxes([[3, 60, 23, 70]], [0], [0.8]), *[Boxes([], [], [])] * 2]
    assert told(united(found, WINDOWS, DETECTION)) == [(0, 70, 10, 90, 20), (0, 70, 60, 90, 70)]


def test_of_several_that_agree_the_strongest_are_one_and_the_rest_is_suppressed():
    first = Boxes([[70, 10, 95, 30]], [0], [0.9])
    second = Boxes([[3, 10, 28, 30], [4, 10, 28, 31]], [0, 0], [0.8, 0.7])
    found = united([first, second, *[Boxes([], [], [])] * 2], WINDOWS, DETECTION)
    assert told(found) == [(0, 70, 10, 95, 30)]


@pytest.mark.parametrize("end", [(590, 50), (590, 160), (590, 300), (590, 590), (60, 590), (10, 590)])
def test_a_sloping_scratch_is_one_box_although_its_pieces_fill_no_box(end):
    shows = np.zeros((600, 600), bool)
    for x, y in np.linspace((10, 40), end, 3000).astype(int):
        shows[y : y + 4, x : x + 4] = True
    windows, found = windows_of((600, 600), 200), []
    for left, top, right, bottom in windows:
        rows, columns = np.nonzero(shows[top:bottom, left:right])
        piece = [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]] if len(rows) else []
        found.append(Boxes(piece, [0] * len(piece), [0.9] * len(piece)))
    rows, columns = np.nonzero(shows)
    assert told(united(found, windows, DETECTION)) == [
        (0, columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    ]


def test_more_windows_may_show_more_defects():
    boxes = [(0, x, y, x + 8, y + 8) for x in range(2, 1990, 20) for y in (5, 45, 75)]
    windows = windows_of((100, 2000), SIDE)
    assert told(united(parts_of(boxes, windows), windows, DETECTION)) == sorted(boxes)
    few = united(parts_of(boxes, windows), windows, Detection(thresholds={}, most=2))
    assert len(few) == 2 * len(windows)


def test_none_lies_beyond_the_picture():
    narrow = windows_of((60, 80), SIDE)
    assert told(united([Boxes([[50, 50, 99, 99], [85, 0, 99, 20]], [0, 0], [0.9, 0.8])], narrow, DETECTION)) == [
        (0, 50, 50, 80, 60)
    ]


def test_nothing_found_is_nothing():
    assert len(united([Boxes([], [], [])] * 4, WINDOWS, DETECTION)) == 0


@st.composite
def rectangles(draw):
    """A picture's size and a box in it."""
    height, width = draw(st.integers(20, 700)), draw(st.integers(20, 700))
    left, top = draw(st.integers(0, width - 2)), draw(st.integers(0, height - 2))
    return (height, width), (0, left, top, draw(st.integers(left + 1, width)), draw(st.integers(top + 1, height)))


@given(rectangles(), st.integers(64, 300), st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_any_defect_that_is_seen_as_surely_everywhere_is_whole_again(picture, side, random):
    size, box = picture
    windows = windows_of(size, side)
    found = united(parts_of([box], windows, lambda *_: random.uniform(0.9, 1)), windows, DETECTION)
    assert told(found) == [box]
