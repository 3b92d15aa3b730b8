"""A table of boxes from literal rows."""

from pathlib import Path

import numpy as np
import pytest

from millscale.core.types import Boxes
from millscale.metrics.detections import DetectionTable


def _boxes(rows, score=None, difficult=None):
    return Boxes(np.array([row[1] for row in rows]).reshape(-1, 4), [row[0] for row in rows], score, difficult)


def _true(rows):
    return _boxes(rows, difficult=[len(row) > 2 for row in rows])


def _found(rows):
    return _boxes(rows, score=[row[2] for row in rows])


@pytest.fixture
def detections():
    """``detections((true, found), …, classes="ab", groups=None)``: one pair of lists for each image.

    A true box is ``(class index, corners)`` with a third entry where it is difficult; a found one
    ``(class index, corners, score)``.
    """

    def make(*images, classes="ab", groups=None):
        ids = tuple(f"{row}.png" for row in range(len(images)))
        truth, found = (tuple(make(image[part]) for image in images) for part, make in ((0, _true), (1, _found)))
        return DetectionTable(
            ids, tuple(map(Path, ids)), ((100, 100),) * len(ids), tuple(classes), truth, found, groups
        )

    return make
