from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from millscale.core.errors import DataError
from millscale.metrics.predictions import Neighbours, PredictionTable

IDS = ("a.png", "b.png", "c.png", "d.png")
PATHS = tuple(map(Path, IDS))
PROBS = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.4, 0.6]])


def table(labels=("x", "x", "x", None), **changes):
    fields = {"ids": IDS, "paths": PATHS, "labels": labels, "classes": ("x", "y"), "probs": PROBS} | changes
    return PredictionTable(**fields)


def test_errors_come_most_confident_first_and_unlabelled_rows_are_none():
    assert_array_equal(table().errors, [1, 2])
    assert_array_equal(table().y_true, [0, 0, 0, -1])


def test_metrics_leave_unlabelled_rows_out():
    metrics = table(groups=("g", "g", "h", None)).evaluate()
    assert (metrics.images, metrics.groups, metrics.errors) == (3, 2, 2)


def test_a_table_without_a_label_cannot_be_measured():
    with pytest.raises(DataError, match="labelled"):
        table(labels=(None,) * 4).evaluate()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ("x", "z", "x", "x")}, "found z"),
        ({"probs": PROBS[:3]}, r"probs \(3, 2\)"),
        ({"groups": ("g",)}, "'groups': 1"),
        ({"fold": np.zeros(5, dtype=int)}, "'fold': 5"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(changes, message):
    with pytest.raises(DataError, match=message):
        table(**changes)


def test_neighbours_must_exist():
    with pytest.raises(DataError, match=r"in \[0, 4\), found 4"):
        Neighbours(np.array([[4]]), np.array([[0.5]]), IDS, PATHS, ("x",) * 4)
