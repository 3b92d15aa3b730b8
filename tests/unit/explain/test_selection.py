import numpy as np
import pytest

from millscale.core.errors import DataError, UsageError
from millscale.core.types import Boxes, Prediction
from millscale.explain.selection import chosen_boxes
from millscale.runtime.inspector import Inspector

NONE = Boxes(np.zeros((0, 4)), np.zeros(0), np.zeros(0))
# red .30, green .61 and red .80 of thresholds .5; blue .85 of .9, which is the surest and does not count
FOUND = Boxes([[0, 0, 9, 9], [1, 0, 9, 9], [2, 0, 9, 9], [3, 0, 9, 9]], [0, 1, 0, 2], [0.3, 0.61, 0.8, 0.85])


@pytest.fixture(scope="module")
def inspector(bundles):
    return Inspector.open(bundles.detector)


def lefts(boxes):
    return boxes.xyxy[:, 0].tolist()


def test_those_that_count_are_chosen(inspector):
    assert sorted(lefts(chosen_boxes(inspector, Prediction(0.8, boxes=FOUND)))) == [1, 2]


def test_where_none_counts_the_strongest_is(inspector):
    weak = Boxes(FOUND.xyxy[[0, 3]], FOUND.class_id[[0, 3]], FOUND.score[[0, 3]])
    assert lefts(chosen_boxes(inspector, Prediction(0.8, boxes=weak))) == [3]


@pytest.mark.parametrize(("number", "left"), [(1, 2), (2, 1), (3, 3), (4, 0)])
def test_numbers_go_through_those_that_count_and_then_the_weaker(inspector, number, left):
    chosen = chosen_boxes(inspector, Prediction(0.8, boxes=FOUND), number)
    assert lefts(chosen) == [left]
    assert chosen.score.tolist() == [FOUND.score[left]]
    assert chosen.class_id.tolist() == [FOUND.class_id[left]]


def test_numbers_are_those_of_inspect(inspector, grid):
    prediction = inspector.inspect(grid.picture({(0, 0): (140, 0, 0), (1, 0): (0, 200, 0), (2, 0): (250, 0, 0)}))
    for number, row in enumerate(inspector.counting(prediction).xyxy.tolist(), 1):
        assert chosen_boxes(inspector, prediction, number).xyxy.tolist() == [row]


@pytest.mark.parametrize("number", [-1, 0, 5])
def test_a_number_out_of_range_is_told_the_range(inspector, number):
    with pytest.raises(UsageError, match=f"--box {number}: expected a number from 1 to 4"):
        chosen_boxes(inspector, Prediction(0.8, boxes=FOUND), number)


@pytest.mark.parametrize("number", [None, 1])
def test_an_image_without_boxes_has_none_to_explain(inspector, number):
    with pytest.raises(DataError, match="found none, however weak"):
        chosen_boxes(inspector, Prediction(0.0, boxes=NONE), number)


def test_a_classifier_has_no_boxes(bundles, grid):
    classifier = Inspector.open(bundles.classifier)
    with pytest.raises(UsageError, match="Bundle 'colour': expected a detector, found only a classifier"):
        chosen_boxes(classifier, classifier.inspect(grid.picture({})))
