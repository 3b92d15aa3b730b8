from pathlib import Path

import numpy as np
import pytest

from millscale.core.errors import DataError
from millscale.core.types import Boxes
from millscale.metrics.detections import DetectionTable

NONE = Boxes(np.zeros((0, 4)), [])
ONE = Boxes([[0, 0, 9, 9]], [1])


def table(**changes):
    two = {
        "ids": ("a.png", "b.png"),
        "paths": (Path("a.png"), Path("b.png")),
        "sizes": ((9, 9), (9, 9)),
        "classes": ("crack", "dent"),
        "truth": (ONE, NONE),
        "found": (NONE, ONE),
    }
    return DetectionTable(**{**two, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"ids": (), "truth": (), "found": ()},
            "at least one annotated image and one class, found 0 and 2; add images",
        ),
        ({"classes": ()}, "at least one annotated image and one class, found 2 and 0"),
        ({"found": (NONE,), "groups": ("x",) * 3}, r"for each of 2 ids, found \{'found': 1, 'groups': 3\}; pass"),
        ({"fold": np.zeros(1, int)}, r"for each of 2 ids, found \{'fold': 1\}"),
        ({"sizes": ((9, 9),)}, r"found \{'sizes': 1\}"),
        ({"ids": ("a.png", "a.png")}, "2 unique ids, found 1; keep one row per image"),
        (
            {"found": (NONE, Boxes([[5, 0, 4, 9]], [0]))},
            r"b\.png: expected found boxes .*found \[\[5.0, 0.0, 4.0, 9.0\]\]",
        ),
        ({"truth": (Boxes([[0, 5, 9, 4]], [0]), NONE)}, r"a\.png: expected truth boxes left, top, right, bottom"),
        ({"found": (Boxes([[0, 0, np.nan, 9]], [0]), NONE)}, r"a\.png: expected found boxes .*nan"),
        ({"found": (Boxes([[0, 0, np.inf, 9]], [0]), NONE)}, r"a\.png: expected found boxes .*inf"),
        ({"found": (Boxes([[0, 0, 9, 9]], [0], [1.5]), NONE)}, r"scores in \[0, 1\], found .* with scores \[1\.5\]"),
        ({"found": (Boxes([[0, 0, 9, 9]], [0], [-0.5]), NONE)}, r"with scores \[-0\.5\]; correct or remove"),
        ({"found": (Boxes([[0, 0, 9, 9]], [0], [np.nan]), NONE)}, r"with scores \[nan\]"),
        (
            {"truth": (NONE, Boxes([[0, 0, 9, 9]], [2]))},
            r"b\.png: expected truth classes in \[0, 2\), found \[2\]; map",
        ),
        ({"found": (Boxes([[0, 0, 9, 9]], [-1]), NONE)}, r"a\.png: expected found classes in \[0, 2\), found \[-1\]"),
    ],
)
def test_what_is_wrong_is_named(changes, message):
    with pytest.raises(DataError, match=message):
        table(**changes)


def test_scores_at_their_ends_and_empty_boxes_are_allowed():
    ends = Boxes([[0, 0, 9, 9], [4, 4, 4, 4]], [0, 1], [0, 1])
    assert len(table(found=(ends, ends), groups=("x", None), fold=np.array([0, 1]))) == 2


def test_chosen_rows_keep_what_belongs_to_them():
    whole = table(groups=("x", None), fold=np.array([4, 2]))
    one = whole.select(np.array([False, True]))
    assert (one.ids, one.paths, one.groups, one.fold.tolist()) == (("b.png",), (Path("b.png"),), (None,), [2])
    assert (one.truth, one.found, one.classes) == ((NONE,), (ONE,), whole.classes)
    assert table().select(np.array([True, False])).groups is None
