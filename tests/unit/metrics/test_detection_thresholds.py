from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from millscale.core.types import Boxes
from millscale.metrics.detection_thresholds import choose_thresholds, crossfit_thresholds

PLACES = [(20 * i, 0, 20 * i + 10, 10) for i in range(4)]
A, B, C, NOWHERE = PLACES


@pytest.mark.parametrize(
    ("truth", "found", "expected"),
    [
        pytest.param([A, B], [(A, 0.9), (B, 0.7), (NOWHERE, 0.3)], 0.5, id="halfway below the last one let in"),
        pytest.param([A, B], [(A, 0.9), (NOWHERE, 0.6), (B, 0.4)], 0.2, id="a false alarm is worth a hit"),
        pytest.param(
            [A, B], [(A, 0.9), *[(NOWHERE, s) for s in (0.8, 0.7)], (B, 0.6)], 0.85, id="of equal the highest"
        ),
        pytest.param([A, B], [(A, 0.9), (B, 0.8), (NOWHERE, 0.8), (NOWHERE, 0.5)], 0.65, id="equal scores together"),
        pytest.param([A], [(NOWHERE, 0.9)], 0.5, id="no hit"),
        pytest.param([A], [], 0.5, id="nothing found"),
        pytest.param([], [(A, 0.9)], 0.5, id="nothing to find"),
    ],
)
def test_threshold_of_the_best_f1_by_hand(detections, truth, found, expected):
    table = detections(([(0, box) for box in truth], [(0, *box) for box in found]), classes="a")
    assert choose_thresholds(table) == {"a": pytest.approx(expected)}


def test_boxes_in_a_difficult_one_count_neither_way(detections):
    ignored = [(0, C, score) for score in (0.8, 0.79, 0.78, 0.77)]
    table = detections(([(0, A), (0, B), (0, C, "hard")], [(0, A, 0.9), *ignored, (0, B, 0.6)]), classes="a")
    assert choose_thresholds(table) == {"a": pytest.approx(0.3)}


def test_each_class_has_its_own(detections):
    table = detections(([(0, A), (1, B)], [(0, A, 0.9), (1, A, 0.8), (1, B, 0.6), (1, NOWHERE, 0.2)]), classes="abc")
    assert choose_thresholds(table) == pytest.approx({"a": 0.45, "b": 0.4, "c": 0.5})


@pytest.fixture
def coils(detections):
    """Eight images of four coils: in coil k all is found down to a score of about .9, .7, .5, .3."""
    images = [([(0, A)], [(0, A, 0.9 - 0.2 * (i // 2) - 0.01 * i), (0, B, 0.2)]) for i in range(8)]
    return detections(*images, classes="a", groups=[f"coil {i // 2}" for i in range(8)])


def test_an_image_has_no_say_in_its_own_threshold_nor_has_its_group(coils):
    before, nonsense = crossfit_thresholds(coils), Boxes([NOWHERE] * 40, [0] * 40, [0.3] * 40)
    for i in range(8):
        found = (*coils.found[:i], nonsense, *coils.found[i + 1 :])
        after = crossfit_thresholds(replace(coils, found=found))
        own = np.arange(8) // 2 == i // 2
        assert_array_equal(after[own], before[own])
        assert (after[~own] > before[~own] + 0.04).all()


def test_each_group_is_judged_by_the_best_threshold_of_the_others(coils):
    # The lowest hit of the others at .24 (coil 3's second image), or without that coil at .45; then .2 is kept out.
    expected = [(0.23 + 0.2) / 2] * 6 + [(0.45 + 0.2) / 2] * 2
    assert_allclose(crossfit_thresholds(coils, parts=9)[:, 0], expected, atol=1e-6)


def test_what_is_drawn_in_an_image_has_no_say_in_its_own_threshold(detections):
    # One more hit is not worth four false alarms, unless twenty boxes drawn in the image itself count as missed.
    one = ([(0, A), (0, B)], [(0, A, 0.9), *[(0, NOWHERE, 0.8)] * 4, (0, B, 0.6)])
    own = ([(0, C)] * 20, [])
    assert_allclose(crossfit_thresholds(detections(one, own, classes="a"))[1], 0.85)
    assert choose_thresholds(detections(one, own, classes="a"))["a"] == pytest.approx(0.3)


def test_the_seed_deals_the_groups(coils):
    dealt = [crossfit_thresholds(coils, parts=2, seed=seed) for seed in range(8)]
    assert_array_equal(crossfit_thresholds(coils, parts=2, seed=0), dealt[0])
    assert any(not np.array_equal(one, dealt[0]) for one in dealt)
    assert all(len(np.unique(one)) == 2 for one in dealt)


def test_a_single_group_has_nobody_to_choose_for_it(coils):
    assert_array_equal(crossfit_thresholds(replace(coils, groups=("one",) * 8)), np.full((8, 1), 0.5))
