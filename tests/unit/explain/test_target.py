import numpy as np
import pytest

from millscale.core.types import Boxes, Prediction
from millscale.explain.target import Target, box_targets, class_target

PLACE = (0.0, 0.0, 10.0, 10.0)
HALF = (0, 0, 10, 5)  # IoU .5


@pytest.mark.parametrize(
    ("boxes", "remains"),
    [
        (Boxes([PLACE], [1], [0.8]), 0.8),
        (Boxes([HALF], [1], [0.8]), 0.4),
        (Boxes([HALF, PLACE], [1, 1], [0.9, 0.3]), 0.45),  # the best product, neither the nearest nor the surest
        (Boxes([PLACE], [0], [0.8]), 0),  # another class
        (Boxes([(20, 20, 30, 30)], [1], [0.8]), 0),  # elsewhere
        (Boxes(np.zeros((0, 4)), np.zeros(0), np.zeros(0)), 0),
        (None, 0),
    ],
)
def test_of_a_box_remains_overlap_times_score(boxes, remains):
    assert Target(1, "pit", 0.8, PLACE).remains(Prediction(0.5, boxes=boxes)) == pytest.approx(remains)


def test_of_a_class_remains_its_probability():
    target = class_target(np.array([0.2, 0.7, 0.1]), ("a", "b", "c"))
    assert target == Target(1, "b", 0.7)
    assert target.remains(Prediction(0.5, np.array([0.9, 0.06, 0.04]))) == pytest.approx(0.06)
    assert target.remains(Prediction(0.5)) == 0


def test_boxes_become_targets_in_their_order():
    boxes = Boxes([PLACE, HALF], [2, 0], [0.25, 0.75])
    assert box_targets(boxes, ("a", "b", "c")) == (Target(2, "c", 0.25, PLACE), Target(0, "a", 0.75, HALF))
