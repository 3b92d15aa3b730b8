"""The boxes of two images inside their common rectangle, by hand."""

import numpy as np
import pytest

from millscale.data.audit.overlap import Overlap
from millscale.data.audit.shared_boxes import matched, shared_boxes

SIZES = {"a": (100, 80), "b": (60, 60)}
MEET = Overlap("a", "b", 0.7, 50, -10, exact=True)
"""The last 50 columns and the first 50 rows of a are the first 50 columns and the last 50 rows of b."""


@pytest.mark.parametrize(
    ("box", "expected", "counts"),
    [
        ((40, 10, 80, 30), (0, 10, 30, 30), True),
        ((40, 0, 60, 50), (0, 0, 10, 50), True),  # just half of it
        ((38, 0, 60, 50), (0, 0, 10, 50), False),  # less than half
        ((92, 10, 130, 50), (42, 10, 50, 50), False),
        ((92, 10, 100, 50), (42, 10, 50, 50), True),  # eight pixels wide
        ((93, 10, 100, 50), (43, 10, 50, 50), False),  # a rim
        ((60, 20, 80, 40, 1), (10, 20, 30, 40), False),  # difficult
        ((60, 30, 80, 80), (10, 30, 30, 50), False),  # below b
    ],
)
def test_a_box_is_cut_to_the_shared_pixels_and_counts_if_it_lies_there(annotated, box, expected, counts) -> None:
    (pair,) = shared_boxes(*annotated({"a": [(1, *box)], "b": []}, [MEET], sizes=SIZES), [MEET])
    assert pair.a.boxes.xyxy.tolist() == [list(expected)]
    assert (pair.a.counts.tolist(), pair.a.boxes.class_id.tolist()) == ([counts], [1])
    assert len(pair.b.boxes) == 0


def test_both_sides_are_told_in_the_pixels_of_the_rectangle(annotated) -> None:
    drawn = {"a": [(0, 0, 0, 50, 80), (0, 60, 0, 80, 20)], "b": [(0, 10, 10, 30, 30), (1, 0, 0, 60, 9)]}
    (pair,) = shared_boxes(*annotated(drawn, [MEET], sizes=SIZES), [MEET])
    assert pair.a.boxes.xyxy.tolist() == pair.b.boxes.xyxy.tolist() == [[10, 0, 30, 20]]
    assert [found.tolist() for found in pair.agreement] == [[1.0], [1.0]]


def test_partners_are_of_one_class_and_each_is_taken_once(annotated) -> None:
    a = [(0, 60, 0, 80, 20), (0, 60, 0, 80, 30), (1, 60, 0, 80, 20)]
    (pair,) = shared_boxes(*annotated({"a": a, "b": [(0, 10, 10, 30, 30)]}, [MEET], sizes=SIZES), [MEET])
    np.testing.assert_allclose(pair.iou, [[1], [2 / 3], [1]])
    np.testing.assert_allclose(pair.iou_in_class, [[1], [2 / 3], [0]])
    assert [found.tolist() for found in pair.agreement] == [[1, 0, 0], [1]]


@pytest.mark.parametrize(
    ("iou", "pairs"),
    [
        ([[0.5, 0.6], [0.7, 0.65]], [(1, 0), (0, 1)]),
        ([[0.9, 0.8], [0.8, 0.0]], [(0, 0)]),  # the best first, although two pairs could be had
        ([[0.5, 0.5], [0.5, 0.5]], [(0, 0), (1, 1)]),
        ([[0.0, 0.2, 0.4]], [(0, 2)]),
        (np.zeros((0, 3)), []),
        (np.zeros((2, 2)), []),
    ],
)
def test_matching(iou, pairs) -> None:
    given = np.array(iou, np.float64)
    assert list(matched(given)) == pairs
    np.testing.assert_array_equal(given, iou)


def pairs_of(found) -> list[tuple[str, str]]:
    return [(pair.overlap.a, pair.overlap.b) for pair in found]


def whole(a: str, b: str, dx: int = 0) -> Overlap:
    return Overlap(a, b, 1.0 - dx / 100, dx, 0, exact=True)


def test_images_without_annotation_or_record_or_contact_are_not_compared(annotated) -> None:
    box = [(0, 20, 20, 60, 60)]
    overlaps = [whole("a", "b"), whole("a", "lost"), whole("a", "c", 10), whole("a", "far", 100), whole("c", "nil")]
    data = annotated({"a": box, "b": None, "c": box, "far": box, "nil": []}, overlaps)
    assert pairs_of(shared_boxes(*data, overlaps)) == [("a", "c"), ("c", "nil")]


@pytest.mark.parametrize(
    ("drawn", "compared"),
    [([(0, 20, 20, 60, 60)], []), ([(0, 20, 20, 60, 61)], ["b"]), ([(1, 20, 20, 60, 60)], ["b"]), ([], ["b"])],
)
def test_a_copy_is_held_against_its_original_only_and_only_if_drawn_anew(annotated, drawn, compared) -> None:
    overlaps = [whole("a", "b"), whole("a", "c", 10), whole("b", "c", 10)]
    box = [(0, 20, 20, 60, 60)]
    data = annotated({"a": box, "b": drawn, "c": box}, overlaps, copies=[("a", "b")])
    assert pairs_of(shared_boxes(*data, overlaps)) == [*(("a", one) for one in compared), ("a", "c")]
