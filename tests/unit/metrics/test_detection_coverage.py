import numpy as np
import pytest
from numpy.testing import assert_allclose

from millscale.metrics.detection_coverage import covered_areas, union_areas

A = (0, 0, 10, 10)
RIGHT = (10, 0, 20, 10)
BOTH = (0, 0, 20, 10)


@pytest.mark.parametrize(
    ("truth", "found", "ignored", "expected"),
    [
        pytest.param([A], [(0, 0, 4, 10), (4, 0, 10, 5), (4, 5, 10, 10)], [], (100, 100, 100), id="three parts of one"),
        pytest.param([A, A], [A, (2, 2, 8, 8), A], [], (100, 100, 100), id="what overlaps counts once"),
        pytest.param([A], [(5, 0, 15, 10)], [], (100, 100, 50), id="half"),
        pytest.param([A], [RIGHT], [], (100, 100, 0), id="side by side"),
        pytest.param([(0, 0, 0.5, 0.5)], [(0.25, 0, 1, 1)], [], (0.25, 0.75, 0.125), id="fractions of a pixel"),
        pytest.param([A], [BOTH], [RIGHT], (100, 100, 100), id="nothing of an ignored part"),
        pytest.param([A], [BOTH], [BOTH], (100, 100, 100), id="a true box in an ignored one still counts"),
        pytest.param([], [A], [BOTH], (0, 0, 0), id="ignored altogether"),
        pytest.param([A], [], [RIGHT], (100, 0, 0), id="nothing found"),
        pytest.param([], [], [], (0, 0, 0), id="nothing at all"),
    ],
)
def test_areas_of_unions(truth, found, ignored, expected):
    boxes = [np.array(rows, float).reshape(-1, 4) for rows in (truth, found, ignored)]
    assert_allclose(union_areas(boxes[0], boxes[1], ignored=boxes[2]), expected)


def test_each_image_and_class_is_covered_by_its_own_boxes(detections):
    table = detections(
        ([(0, A), (1, RIGHT)], [(1, A, 0.9), (1, RIGHT, 0.8)]),
        ([(1, BOTH), (1, RIGHT, "difficult"), (0, A, "difficult")], [(1, RIGHT, 0.9), (0, BOTH, 0.7)]),
        ([], []),
    )
    assert_allclose(
        covered_areas(table),
        [[[100, 0, 0], [100, 200, 100]], [[0, 100, 0], [200, 100, 100]], [[0, 0, 0], [0, 0, 0]]],
    )
