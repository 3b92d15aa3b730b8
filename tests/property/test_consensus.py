"""Annotators who agree are left as they are; whatever they drew, what comes out is a box of the image."""

import tempfile
from pathlib import Path

import numpy as np
import PIL.Image
from hypothesis import given, settings
from hypothesis import strategies as st

from millscale.core.types import Boxes
from millscale.data.audit import Audit
from millscale.data.audit.consensus import consensus
from millscale.data.audit.overlap import Overlap
from millscale.data.manifest import ImageRecord, Manifest

SIDE = 100
places = st.lists(st.tuples(st.integers(-20, 20), st.integers(-20, 20)), min_size=2, max_size=4)


def merged(drawn: list[np.ndarray], where: list[tuple[int, int]]) -> list[np.ndarray]:
    """The rows (class, left, top, right, bottom) of crops at known places, after their consensus; sorted."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "blank.png"
        PIL.Image.new("L", (SIDE, SIDE)).save(path)
        records = tuple(ImageRecord(str(k), path, boxes=Boxes(rows[:, 1:], rows[:, 0])) for k, rows in enumerate(drawn))
        overlaps = tuple(
            Overlap(str(i), str(j), 0.5, where[j][0] - where[i][0], where[j][1] - where[i][1], exact=True)
            for i in range(len(where))
            for j in range(i + 1, len(where))
        )
        audit = Audit(len(records), {}, (), (), overlaps, (), (), {}, (), ())
        found = consensus(Manifest(records, ("crack", "pit"), folder), audit)
    return [ordered(np.column_stack([r.boxes.class_id, r.boxes.xyxy])) for r in found.records if r.boxes is not None]


def ordered(rows: np.ndarray) -> np.ndarray:
    return rows[np.lexsort(rows.T)]


def rows(low: int, high: int):
    """Boxes of whole pixels between two coordinates, of two classes."""
    side = st.tuples(st.integers(low, high), st.integers(low, high)).filter(lambda s: s[0] != s[1]).map(sorted)
    row = st.tuples(st.integers(0, 1), side, side).map(lambda r: (r[0], r[1][0], r[2][0], r[1][1], r[2][1]))
    return st.lists(row, max_size=5).map(lambda found: np.array(found, np.float32).reshape(-1, 5))


@given(sheet=rows(20, 80), where=places)
@settings(deadline=None, max_examples=60)
def test_what_all_drew_alike_stays(sheet: np.ndarray, where: list[tuple[int, int]]) -> None:
    drawn = [sheet - np.array([0, x, y, x, y], np.float32) for x, y in where]
    for before, after in zip(drawn, merged(drawn, where), strict=True):
        np.testing.assert_array_equal(after, ordered(before))


@given(data=st.data(), where=places)
@settings(deadline=None, max_examples=60)
def test_a_merged_box_is_a_box_of_its_image(data: st.DataObject, where: list[tuple[int, int]]) -> None:
    drawn = [data.draw(rows(0, SIDE)) for _ in where]
    for found in merged(drawn, where):
        assert (found[:, 1:] == np.rint(found[:, 1:])).all()
        assert (found[:, 3:] - found[:, 1:3] >= 1).all()
        assert (found[:, 1:] >= 0).all()
        assert (found[:, 1:] <= SIDE).all()
    used = {int(k) for rows_ in drawn for k in rows_[:, 0]}
    assert {int(k) for found in merged(drawn, where) for k in found[:, 0]} <= used
