import numpy as np
import pytest

from millscale.report.detection_selection import choose_shots

HALF = np.array([0.5, 0.5])
PLACE, NEAR, AWAY = (10, 10, 30, 30), (10, 10, 30, 15), (60, 60, 80, 80)  # IoU .25, none
NB = "\u00a0"


def shots(table, thresholds=HALF, sample=0, most=9, seed=0):
    return choose_shots(table, thresholds, sample=sample, most=most, seed=seed)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ((0, *AWAY, 0.9), "0.90: no such defect drawn there"),
        ((0, *NEAR, 0.8), "0.80: extent differs, IoU 0.25"),
        ((1, *PLACE, 0.7), "0.70: drawn as scratch"),
    ],
)
def test_a_false_alarm_says_why_it_is_one(located, found, reason):
    (alarm,) = shots(located([[(0, *PLACE)]], [[found]])).alarms
    assert (alarm.row, alarm.index, alarm.caption, alarm.alarms) == (0, found[0], reason, (0,))


def test_a_second_box_on_one_defect_is_an_alarm(located):
    table = located([[(0, *PLACE)]], [[(0, *PLACE, 0.6), (0, *PLACE, 0.9)]])
    (alarm,) = shots(table).alarms
    assert (alarm.caption, alarm.alarms) == ("0.60: that defect was found already", (0,))


def test_what_lies_in_a_difficult_box_is_no_alarm_and_missing_that_no_miss(located):
    table = located([[(0, *PLACE, 1)], [(0, *PLACE, 1)]], [[(0, *PLACE, 0.9)], []])
    shown = shots(table)
    assert (shown.misses, shown.alarms, shown.missed_images, shown.alarm_images) == ((), (), 0, 0)


def test_a_miss_says_how_many_and_how_much(located):
    # the first is found, of the second a quarter is covered, the third not at all: areas 400, 100 and 400
    truth = [(0, *PLACE), (0, *AWAY), (0, 40, 0, 60, 20), (0, 90, 90, 99, 99, 1)]
    (miss,) = shots(located([truth], [[(0, *PLACE, 0.9), (0, 60, 60, 80, 65, 0.8)]])).misses
    assert miss.missed == (1, 2)
    assert miss.caption == f"2 of 3 missed, 58{NB}% of the area uncovered"  # 700 of 1200


def test_the_largest_uncovered_area_and_the_surest_alarm_come_first_each_class_in_turn(located):
    size = {"a": (0, 0, 50, 50), "b": (0, 0, 40, 40), "c": (0, 0, 30, 30), "d": (0, 0, 20, 20)}
    classes = {"a": 0, "b": 0, "c": 1, "d": 0}
    truth = [[(classes[name], *size[name])] for name in "dabc"]
    table = located(truth, [[] for _ in truth])
    assert [shot.row for shot in shots(table).misses] == [1, 3, 2, 0]  # a of 0, c of 1, then b and d
    assert [shot.row for shot in shots(table, most=2).misses] == [1, 3]
    assert shots(table, most=2).missed_images == 4
    scores, labels = (0.7, 0.9, 0.8, 0.6), (0, 0, 0, 1)
    found = [[(label, *PLACE, score)] for label, score in zip(labels, scores, strict=True)]
    assert [shot.row for shot in shots(located([[]] * 4, found)).alarms] == [1, 3, 2, 0]


def test_an_image_is_shown_once_in_a_gallery_for_the_worst_of_it(located):
    table = located([[(0, 0, 0, 10, 10), (1, 20, 20, 60, 60)]], [[(0, *AWAY, 0.6), (1, 80, 0, 99, 20, 0.8)]])
    shown = shots(table)
    assert [(shot.index, shot.missed) for shot in shown.misses] == [(1, (1,))]
    assert [(shot.index, shot.alarms) for shot in shown.alarms] == [(1, (1,))]


def test_only_boxes_at_their_thresholds_take_part(located):
    table = located([[], [], []], [[(0, *PLACE, 0.6)], [(0, *PLACE, 0.7)], [(1, *PLACE, 0.6)]])
    assert {shot.row for shot in shots(table, np.array([0.65, 0.6])).alarms} == {1, 2}  # .6 reaches .6 …
    limits = np.array([[0.55, 0.5], [0.75, 0.5], [0.5, 0.55]])  # each image its own
    shown = shots(table, limits)
    assert {shot.row for shot in shown.alarms} == {0, 2}
    assert [len(boxes) for boxes in shown.operating.found] == [1, 0, 1]


def test_the_sample_is_drawn_from_each_class_and_no_image_twice(located):
    truth = [[(0, *PLACE), (1, *AWAY)]] * 3 + [[(0, *PLACE)]] * 5 + [[(1, *AWAY), (1, *PLACE, 1)]] * 5 + [[]] * 2
    table = located(truth, [[(1, *AWAY, 0.9), (1, 80, 0, 99, 20, 0.8)]] * 15)
    first, again, other = (shots(table, sample=3, seed=seed).sample for seed in (0, 0, 1))
    assert [shot.index for shot in first] == [0, 0, 0, 1, 1, 1]
    assert len({shot.row for shot in first}) == 6
    for shot in first:
        assert any(label == shot.index for label, *_ in truth[shot.row])
    assert {shot.caption for shot in first} == {
        "0 of 1 found",
        "1 of 1 found, 1 false",
    }  # a difficult box is not counted
    assert first == again
    assert {shot.row for shot in first} != {shot.row for shot in other}


def test_a_class_with_few_images_shows_them_all(located):
    assert [shot.row for shot in shots(located([[(1, *PLACE)], []], [[], []]), sample=4).sample] == [0]


def test_an_image_that_is_gone_is_shown_without_its_picture(located):
    table = located([[(0, *PLACE)], [(0, *PLACE)]], [[], []], size=(900, 450))
    table.paths[0].unlink()
    thumbnails = shots(table).thumbnails
    assert thumbnails[table.paths[0]] is None
    assert thumbnails[table.paths[1]].shape == (400, 200)
