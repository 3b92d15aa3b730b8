from dataclasses import asdict

import numpy as np
import pytest
from numpy.testing import assert_allclose

from millscale.metrics.bootstrap import group_index, wilson_interval
from millscale.metrics.detection_operating import operating_rates

A = (0, 0, 10, 10)
NEAR_A = (5, 0, 15, 10)
FAR = (50, 50, 60, 80)


def rates(table, resamples=200):
    return operating_rates(table, group_index(table.groups, len(table)), seed=0, resamples=resamples)


@pytest.fixture
def six(detections):
    return detections(
        ([(0, A)], [(0, NEAR_A, 0.9)]),  # IoU 1/3: no hit by extent, but the class is told
        ([(0, A)], [(1, A, 0.9)]),  # the wrong class: a miss and a false alarm, but the image does not escape
        ([(1, A)], []),  # escapes
        ([], [(0, FAR, 0.9)]),  # overkill
        ([], []),
        ([(0, A, "difficult")], [(0, A, 0.9)]),  # neither defective nor clean; does not show b
    )


def test_rates_of_six_images_by_hand(six):
    ours, _ = rates(six)
    expected = {
        "image_recall": [1 / 2, 0],
        "image_false_alarm_rate": [1 / 3, 1 / 5],
        "coverage_recall": [50 / 200, 0],
        "coverage_precision": [50 / 400, 0],
        "coverage_iou": [50 / 550, 0],
        "escape_rate": 1 / 3,
        "overkill_rate": 1 / 2,
    }
    assert set(asdict(ours)) == set(expected)
    for key, value in expected.items():
        assert_allclose(getattr(ours, key), value, err_msg=key)


def test_every_rate_lies_in_its_interval(six):
    ours, intervals = rates(six)
    assert len(intervals) == 5 * 2 + 2
    for key, (low, high) in intervals.items():
        name, _, label = key.partition("/")
        value = getattr(ours, name)
        assert 0 <= low <= (value["ab".index(label)] if label else value) <= high <= 1, key


@pytest.mark.parametrize(
    ("image", "undefined"),
    [
        pytest.param(([], []), {"image_recall", "coverage_recall", "coverage_precision", "coverage_iou", "escape_rate"},
                     id="clean"),
        pytest.param(([(0, A)], []), {"image_false_alarm_rate", "coverage_precision", "overkill_rate"}, id="missed"),
        pytest.param(([(0, A)], [(0, A, 1)]), {"image_false_alarm_rate", "overkill_rate"}, id="found"),
    ],
)  # fmt: skip
def test_a_rate_of_nothing_is_undefined_and_so_is_its_interval(detections, image, undefined):
    ours, intervals = rates(detections(image, image, classes="a"))
    assert {key for key, value in asdict(ours).items() if np.isnan(value).any()} == undefined
    assert {key.removesuffix("/a") for key, ends in intervals.items() if np.isnan(ends).any()} == undefined


@pytest.mark.parametrize(("groups", "count"), [(None, 30), ([f"coil {i // 3}" for i in range(30)], 10)])
def test_without_an_error_the_bound_hangs_on_the_number_of_groups(detections, groups, count):
    seen = detections(*[([(0, A)], [(0, A, 0.9)])] * 30, classes="a", groups=groups)
    ours, intervals = rates(seen)
    assert ours.escape_rate == 0
    assert_allclose(intervals["escape_rate"], wilson_interval(0, count), atol=1e-12)
    assert_allclose(intervals["image_recall/a"], wilson_interval(1, count))
    assert intervals["coverage_recall/a"] == (1, 1)  # a share of area is not widened
    clean, intervals = rates(detections(*[([], [])] * 30, classes="a", groups=groups))
    assert clean.overkill_rate == 0
    assert_allclose(intervals["overkill_rate"], wilson_interval(0, count), atol=1e-12)
    assert_allclose(intervals["image_false_alarm_rate/a"], wilson_interval(0, count), atol=1e-12)


def test_where_errors_are_common_the_interval_is_that_of_groups_drawn_with_replacement(detections):
    images = [([(0, A)], [(0, A, 0.9)] if row % 3 else []) for row in range(60)]
    _, intervals = rates(detections(*images, classes="a"), resamples=400)
    draws = np.random.default_rng(0).integers(0, 60, (400, 60))
    assert_allclose(intervals["escape_rate"], np.quantile((draws % 3 == 0).mean(1), [0.025, 0.975]))
    assert_allclose(intervals["coverage_recall/a"], np.quantile((draws % 3 > 0).mean(1), [0.025, 0.975]))
