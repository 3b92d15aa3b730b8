"""Boxes of crops merged on their sheet, by hand. Crops are 100×100; b lies 40 pixels right of a unless told."""

import numpy as np
import pytest

from millscale.data.audit.consensus import consensus
from millscale.data.audit.overlap import Overlap

RIGHT = Overlap("a", "b", 0.6, 40, 0, exact=True)


def rows(manifest) -> dict[str, list[tuple[int, ...]]]:
    """Each image's boxes as sorted rows (class, left, top, right, bottom)."""
    return {
        record.id: sorted(
            (int(name), *map(int, xyxy))
            for name, xyxy in zip(record.boxes.class_id, record.boxes.xyxy.tolist(), strict=True)
        )
        for record in manifest.records
        if record.boxes is not None
    }


@pytest.mark.parametrize(
    ("a", "b", "merged_a", "merged_b"),
    [
        pytest.param(
            [(0, 50, 20, 80, 60)], [(0, 14, 24, 44, 64)], [(0, 52, 22, 82, 62)], [(0, 12, 22, 42, 62)],
            id="the mean, in the pixels of each"),
        pytest.param(
            [(0, 50, 20, 100, 60)], [(0, 12, 24, 80, 64)], [(0, 51, 22, 100, 62)], [(0, 11, 22, 80, 62)],
            id="a side at its crop's border has no say in a crop that shows more"),
        pytest.param(
            [(0, 50, 20, 80, 60)], [], [(0, 50, 20, 80, 60)], [(0, 10, 20, 40, 60)],
            id="one of two is a tie, which keeps"),
        pytest.param(
            [(0, 30, 20, 60, 60)], [], [(0, 30, 20, 60, 60)], [(0, 0, 20, 20, 60)],
            id="only the part that shows is given to the neighbour"),
        pytest.param(
            [(0, 25, 20, 55, 60)], [], [(0, 25, 20, 55, 60)], [],
            id="a rim below 16 pixels is not given"),
        pytest.param(
            [(0, 0, 20, 59, 60)], [], [(0, 0, 20, 59, 60)], [(0, 0, 20, 19, 60)],
            id="a third of the whole is given"),
        pytest.param(
            [(0, 5, 20, 100, 60)], [(0, 0, 24, 90, 64)], [(0, 5, 22, 100, 62)], [(0, 0, 22, 90, 62)],
            id="what each border cuts, the other goes on with"),
        pytest.param(
            [(0, 50, 20, 100, 60)], [(0, 10, 20, 56, 60)], [(0, 50, 20, 97, 60)], [(0, 10, 20, 56, 60)],
            id="in its own crop a side at the border is heard"),
        pytest.param(
            [(0, 50, 20, 80, 60)], [(1, 10, 20, 40, 60)],
            [(0, 50, 20, 80, 60), (1, 50, 20, 80, 60)], [(0, 10, 20, 40, 60), (1, 10, 20, 40, 60)],
            id="two classes are never merged"),
        pytest.param(
            [(0, 50, 20, 90, 60)], [(0, 10, 20, 20, 60)], [(0, 50, 20, 90, 60)], [(0, 10, 20, 50, 60)],
            id="a piece of what the other drew whole says the same"),
        pytest.param(
            [(0, 50, 20, 80, 60), (0, 52, 22, 82, 62)], [(0, 12, 22, 42, 62)],
            [(0, 50, 20, 80, 60), (0, 52, 22, 82, 62)], [(0, 10, 20, 40, 60), (0, 12, 22, 42, 62)],
            id="two boxes of one crop are two"),
    ],
)  # fmt: skip
def test_two_crops(annotated, a, b, merged_a, merged_b) -> None:
    assert rows(consensus(*annotated({"a": a, "b": b}, [RIGHT]))) == {"a": merged_a, "b": merged_b}


def test_less_than_half_of_those_that_see_a_place_do_not_carry_a_box(annotated) -> None:
    crops = [Overlap("a", name, 0.9, dx, 0, exact=True) for name, dx in (("b", 5), ("c", 10), ("far", 70))]
    drawn = {"a": [(0, 30, 30, 60, 60)], "b": [(0, 65, 65, 85, 85)], "c": [(0, 60, 65, 80, 85)], "far": []}
    merged = rows(consensus(*annotated(drawn, crops)))
    assert merged == {"a": [(0, 70, 65, 90, 85)], "b": [(0, 65, 65, 85, 85)], "c": [(0, 60, 65, 80, 85)],
                      "far": [(0, 0, 65, 20, 85)]}  # fmt: skip


def test_a_crop_that_shows_half_of_a_place_has_no_vote_on_it(annotated) -> None:
    halves = [Overlap("a", name, 0.5, 50, 0, exact=True) for name in "bc"]
    merged = rows(consensus(*annotated({"a": [(0, 30, 20, 70, 60)], "b": [], "c": []}, halves)))
    assert merged == {"a": [(0, 30, 20, 70, 60)], "b": [], "c": []}


def test_each_round_brings_crops_nearer_through_a_common_neighbour(annotated) -> None:
    """a and c share nothing. b's upper side weighs a half in them, where half of its box shows; theirs so in it."""
    chain = [Overlap("a", "b", 0.5, 50, 0, exact=True), Overlap("b", "c", 0.5, 50, 0, exact=True)]
    data = annotated({"a": [(0, 50, 20, 100, 60)], "b": [(0, 0, 26, 100, 60)], "c": [(0, 0, 32, 50, 60)]}, chain)
    expected = {0: (20, 26, 32), 1: (22, 26, 30), 2: (23, 26, 29)}
    for rounds, (a, b, c) in expected.items():
        found = rows(consensus(*data, rounds=rounds))
        assert found == {"a": [(0, 50, a, 100, 60)], "b": [(0, 0, b, 100, 60)], "c": [(0, 0, c, 50, 60)]}
    assert rows(consensus(*data)) == found


@pytest.mark.parametrize(("right", "given"), [(97, []), (100, [(0, 0, 20, 20, 60)])])
def test_less_than_a_fifth_of_a_defect_is_not_given(annotated, right, given) -> None:
    far = Overlap("a", "b", 0.2, 80, 0, exact=True)
    assert rows(consensus(*annotated({"a": [(0, 0, 20, right, 60)], "b": []}, [far])))["b"] == given


def test_sizes_may_differ_and_an_overlap_that_contradicts_better_ones_is_not_used(annotated) -> None:
    better, worse = Overlap("a", "b", 0.9, 20, 50, exact=True), Overlap("a", "b", 0.5, 60, 0, exact=False)
    data = annotated({"a": [(1, 40, 60, 70, 90)], "b": []}, [worse, better], sizes={"a": (80, 160), "b": (60, 70)})
    assert rows(consensus(*data)) == {"a": [(1, 40, 60, 70, 90)], "b": [(1, 20, 10, 50, 40)]}


@pytest.mark.parametrize(("a", "b", "difficult"), [(0, 0, False), (1, 0, False), (0, 1, False), (1, 1, True)])
def test_a_merged_box_is_difficult_if_most_say_so(annotated, a, b, difficult) -> None:
    merged = consensus(*annotated({"a": [(0, 50, 20, 80, 60, a)], "b": [(0, 10, 20, 40, 60, b)]}, [RIGHT]))
    assert [record.boxes.difficult.tolist() for record in merged.records] == [[difficult]] * 2


def test_all_else_is_left_as_it_was(annotated) -> None:
    exposure = Overlap("a", "light", 0.9, 5, 0, exact=False)
    bare = Overlap("a", "bare", 0.9, 10, 0, exact=True)
    box = [(1, 50, 20, 80, 60)]
    manifest, audit = annotated(
        {"a": box, "b": [], "bare": None, "alone": box, "light": []}, [RIGHT, bare], exposures=[exposure]
    )
    merged = consensus(manifest, audit)
    same = [old is new for old, new in zip(manifest.records, merged.records, strict=True)]
    assert same == [False, False, True, True, True]
    assert [(r.id, r.path, r.label, r.split) for r in merged.records] == [
        (r.id, r.path, r.label, r.split) for r in manifest.records
    ]
    assert (merged.classes, merged.source) == (manifest.classes, manifest.source)
    np.testing.assert_array_equal(manifest.records[0].boxes.xyxy, [[50, 20, 80, 60]])
