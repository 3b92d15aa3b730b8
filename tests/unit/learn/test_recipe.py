from pathlib import Path

import numpy as np
from numpy.testing import assert_array_equal

from millscale.data.manifest import ImageRecord, Manifest
from millscale.learn.recipe import Task


def task() -> Task:
    """Images a to f in groups 1, 1, 2, 3, 2, none; d to f have no label."""
    rows = zip("abcdef", ("x", "y", "x", None, None, None), ("1", "1", "2", "3", "2", None), strict=True)
    records = tuple(ImageRecord(name, Path(name), label, group=group) for name, label, group in rows)
    return Task(Manifest(records, ("x", "y"), "."), np.array([0, 0, 1, -1, -1, -1]), 0, Path(), lambda *_: None)


def test_targets_are_minus_one_where_there_is_no_label():
    assert_array_equal(task().targets, [0, 1, 0, -1, -1, -1])


def test_images_without_label_are_learned_from_unless_they_share_a_group_with_the_fold():
    assert_array_equal(task().training_rows(0), [2, 3, 4, 5])
    assert_array_equal(task().training_rows(1), [0, 1, 3, 5])
    assert_array_equal(task().training_rows(None), np.arange(6))
