"""Overlaps composed into places: chains and loops."""

from hypothesis import given
from hypothesis import strategies as st

from millscale.data.audit.overlap import Overlap
from millscale.data.audit.placement import laid_out


def meet(a: str, b: str, dx: int, dy: int, fraction: float = 0.5, *, exact: bool = True) -> Overlap:
    return Overlap(a, b, fraction, dx, dy, exact)


def test_a_chain_is_composed_whichever_way_its_links_point() -> None:
    (sheet,) = laid_out("abcd", [meet("a", "c", 30, -5), meet("b", "c", 10, 10), meet("b", "d", -7, 2)])
    assert sheet == {"b": (0, 0), "a": (-20, 15), "c": (10, 10), "d": (-7, 2)}
    assert next(iter(sheet)) == "b"


def test_an_image_that_meets_no_other_has_its_own_sheet() -> None:
    sheets = laid_out("abcd", [meet("b", "d", 4, 6), meet("c", "gone", 1, 1), meet("gone", "lost", 1, 1)])
    assert sheets == ({"a": (0, 0)}, {"b": (0, 0), "d": (4, 6)}, {"c": (0, 0)})


def test_two_sheets_are_joined_with_all_that_lies_on_them() -> None:
    strong = [meet("a", "b", 10, 0, 0.9), meet("c", "d", 0, 20, 0.8)]
    (sheet,) = laid_out("abcd", [meet("b", "d", 5, 5, 0.2), *strong])
    assert sheet == {"a": (0, 0), "b": (10, 0), "d": (15, 5), "c": (15, -15)}


def test_an_overlap_that_closes_a_loop_has_no_say() -> None:
    sides = [meet("a", "b", 10, 0, 0.9), meet("b", "c", 10, 0, 0.8)]
    assert laid_out("abc", [meet("a", "c", 22, 0, 0.3), *sides]) == ({"a": (0, 0), "b": (10, 0), "c": (20, 0)},)


def test_exact_overlaps_are_believed_before_blurred_ones_then_large_before_small() -> None:
    blurred = meet("a", "b", 50, 0, 0.9, exact=False)
    small, large = meet("a", "b", 10, 0, 0.1), meet("a", "b", 20, 0, 0.2)
    assert laid_out("ab", [blurred, small, large]) == ({"a": (0, 0), "b": (20, 0)},)


places = st.lists(st.tuples(st.integers(-500, 500), st.integers(-500, 500)), min_size=1, max_size=8)


@given(places=places, data=st.data())
def test_places_are_found_again_from_any_overlaps_that_connect_them(places, data) -> None:
    ids = [f"{k}" for k in range(len(places))]
    edges = {(data.draw(st.integers(0, k - 1)), k) for k in range(1, len(ids))}
    edges |= data.draw(st.sets(st.tuples(*[st.integers(0, len(ids) - 1)] * 2).filter(lambda e: e[0] < e[1])))
    overlaps = [
        meet(ids[i], ids[j], places[j][0] - places[i][0], places[j][1] - places[i][1], data.draw(st.floats(0.1, 1)))
        for i, j in data.draw(st.permutations(sorted(edges)))
    ]
    (sheet,) = laid_out(ids, overlaps)
    x, y = places[ids.index(next(iter(sheet)))]
    assert sheet == {name: (left - x, top - y) for name, (left, top) in zip(ids, places, strict=True)}
