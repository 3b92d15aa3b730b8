"""Two annotations of the same pixels held against each other, by hand."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millscale.core.types import Boxes
from millscale.data.audit import Audit
from millscale.data.audit.overlap import Overlap
from millscale.data.manifest import ImageRecord, Manifest
from millscale.metrics.agreement import agreement, agreement_lines

CLASSES = ("crack", "pit", "rust")
SHIFT = Overlap("a", "b", 0.8, 20, 0, exact=True)
AT_ONE = ("iou50", "iou75", "mean_iou", "ap50", "ap50_ranked", "ap50_95", "ap50_95_ranked")


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "blank.png"
    PIL.Image.new("L", (100, 100)).save(path)
    return path


def compare(blank, images, overlaps, *, groups=None, exposures=(), **options):
    """The agreement of images of 100×100 pixels, whose boxes are rows (class, left, top, right, bottom)."""
    records = []
    for name, drawn in images.items():
        rows = np.array(drawn, np.float32).reshape(-1, 5)
        records.append(ImageRecord(name, blank, "crack", Boxes(rows[:, 1:], rows[:, 0])))
    groups = groups or dict.fromkeys(images, "one")
    audit = Audit(len(records), {}, (), (), tuple(overlaps), tuple(exposures), (), groups, (), ())
    return agreement(Manifest(tuple(records), CLASSES, "by hand"), audit, **options)


DRAWN = {
    "a": [(0, 20, 0, 60, 40), (1, 60, 60, 80, 80), (0, 0, 50, 15, 90)],  # the last is not in b
    "b": [(0, 0, 0, 40, 30), (0, 40, 60, 60, 80)],
}
"""Cracks of IoU .75; a pit that b calls a crack."""


def test_every_measure(blank) -> None:
    found = compare(blank, DRAWN, [SHIFT])
    crack, pit, rust = (found.classes[name] for name in CLASSES)
    # Of three cracks two have a partner at six of the ten thresholds, .5 to .75.
    assert (crack.boxes, pit.boxes, rust.boxes, found.pairs) == (3, 1, 0, 1)
    assert crack.iou50 == crack.iou75 == crack.ap50_ranked == pytest.approx(2 / 3)
    assert crack.mean_iou == pytest.approx(0.75 * 2 / 3)
    assert crack.missing == crack.other_class == pytest.approx(1 / 3)
    assert (crack.ap50, crack.ap50_95, crack.ap50_95_ranked) == pytest.approx((4 / 9, 0.6 * 4 / 9, 0.6 * 2 / 3))
    assert (pit.iou50, pit.missing, pit.other_class, pit.ap50_95) == (0, 1, 1, 0)
    assert np.isnan([rust.iou50, rust.missing, rust.ap50, *rust.intervals["iou50"]]).all()
    # The mean is that of the classes that were compared.
    assert found.mean.boxes == 4
    assert (found.mean.iou50, found.mean.ap50, found.mean.missing) == pytest.approx((1 / 3, 2 / 9, 2 / 3))


def test_the_document_and_the_table_of_it(blank) -> None:
    document = compare(blank, DRAWN, [SHIFT]).to_json()
    assert document["pairs"] == 1
    assert document["classes"]["rust"]["iou50"] is None
    assert document["classes"]["rust"]["intervals"]["iou50"] == [None, None]
    assert document["classes"]["crack"]["mean_iou"] == 0.5
    assert document["classes"]["crack"]["intervals"]["mean_iou"] == [None, None]  # of one group
    assert [line.split() for line in agreement_lines(document)] == [
        ["boxes", "IoU≥.5", "IoU≥.75", "mean", "IoU", "missing"],
        ["crack", "3", "66.7%", "66.7%", "0.50", "33.3%"],
        ["pit", "1", "0.0%", "0.0%", "0.00", "100.0%"],
        ["mean", "4", "33.3%", "33.3%", "0.25", "66.7%"],
    ]


def test_a_box_that_another_of_its_class_merely_touches_is_not_missing(blank) -> None:
    a, b = [(0, 20, 0, 60, 40)], [(0, 30, 30, 70, 70), (1, 0, 0, 40, 40)]
    crack = compare(blank, {"a": a, "b": b}, [SHIFT]).classes["crack"]
    # 10×10 of 3100 pixels are common; a's crack is b's pit.
    assert (crack.boxes, crack.missing, crack.other_class) == (2, 0, 0.5)
    assert crack.mean_iou == pytest.approx(100 / 3100)


@pytest.mark.parametrize(
    ("bottom", "reached"), [(19, (0, 0, 0)), (20, (1, 0, 0.1)), (28, (1, 0, 0.5)), (30, (1, 1, 0.6)), (40, (1, 1, 1))]
)
def test_a_threshold_is_reached_by_an_iou_that_stands_on_it(blank, bottom, reached) -> None:
    crack = compare(blank, {"a": [(0, 20, 0, 60, 40)], "b": [(0, 0, 0, 40, bottom)]}, [SHIFT]).classes["crack"]
    assert (crack.iou50, crack.iou75, crack.ap50_95_ranked) == pytest.approx(reached)
    assert crack.mean_iou == pytest.approx(bottom / 40)


@pytest.mark.parametrize(("groups", "interval"), [("xxyy", (0, 1)), ("xxxx", (np.nan, np.nan))])
def test_intervals_draw_whole_groups(blank, groups, interval) -> None:
    """One pair agrees, the other does not at all."""
    box, far = [(0, 30, 10, 60, 40)], [(0, 50, 60, 80, 90)]
    overlaps = [Overlap("a", "b", 1, 0, 0, exact=True), Overlap("c", "d", 1, 0, 0, exact=True)]
    named = dict(zip("abcd", groups, strict=True))
    crack = compare(blank, {"a": box, "b": box, "c": box, "d": far}, overlaps, groups=named).classes["crack"]
    assert crack.iou50 == 0.5
    assert crack.intervals["iou50"] == pytest.approx(interval, nan_ok=True)  # one group says nothing of others


def test_second_exposures_are_compared_only_when_asked_for(blank) -> None:
    box = [(0, 30, 10, 60, 40)]
    images, light = {"a": box, "b": box, "c": []}, Overlap("a", "b", 1, 0, 0, exact=False)
    exact = Overlap("a", "c", 1, 0, 0, exact=True)
    found = [
        compare(blank, images, [exact], exposures=[light], second_exposures=asked).classes["crack"]
        for asked in (False, True)
    ]
    assert [(one.boxes, one.iou50) for one in found] == [(1, 0), (2, 1)]


def test_pairs_without_a_box_on_shared_pixels_are_not_counted(blank) -> None:
    found = compare(blank, {"a": [(0, 0, 0, 20, 40)], "b": []}, [SHIFT])
    assert (found.pairs, found.mean.boxes) == (0, 0)
    nothing = compare(blank, {"a": [], "b": []}, [])
    assert (nothing.pairs, nothing.to_json()["mean"]["iou50"]) == (0, None)


@st.composite
def boxes(draw, most: int):
    corners = st.tuples(
        st.integers(0, 2), st.integers(0, 80), st.integers(0, 80), st.integers(1, 60), st.integers(1, 60)
    )
    return [(k, x, y, min(100, x + w), min(100, y + h)) for k, x, y, w, h in draw(st.lists(corners, max_size=most))]


@given(drawn=boxes(6), dx=st.integers(-60, 60), dy=st.integers(-60, 60))
@settings(deadline=None, max_examples=50)
def test_an_annotation_agrees_with_itself(blank, drawn, dx, dy) -> None:
    sheet = np.array(drawn, np.float32).reshape(-1, 5)
    moved = np.column_stack([sheet[:, 0], np.clip(sheet[:, 1:] - np.tile([dx, dy], 2), 0, 100)])
    seen = (moved[:, 3:] > moved[:, 1:3]).all(1)
    found = compare(blank, {"a": drawn, "b": moved[seen]}, [Overlap("a", "b", 0.5, dx, dy, exact=True)], resamples=5)
    for one in (*found.classes.values(), found.mean):
        expected = (1.0, 0.0, 0.0) if one.boxes else (np.nan,) * 3
        for name in AT_ONE:
            np.testing.assert_allclose(getattr(one, name), expected[0])
        np.testing.assert_allclose((one.missing, one.other_class), expected[1:])


# With two boxes a side at most, equal IoU cannot be told apart by who comes first.
@given(a=boxes(2), b=boxes(2), dx=st.integers(-60, 60), dy=st.integers(-60, 60))
@settings(deadline=None, max_examples=50)
def test_it_does_not_matter_who_is_held_against_whom(blank, a, b, dx, dy) -> None:
    one = compare(blank, {"a": a, "b": b}, [Overlap("a", "b", 0.5, dx, dy, exact=True)], resamples=5)
    other = compare(blank, {"a": a, "b": b}, [Overlap("b", "a", 0.5, -dx, -dy, exact=True)], resamples=5)
    assert one.to_json() == other.to_json()
