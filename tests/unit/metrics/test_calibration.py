import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from millscale.metrics.calibration import brier, confidence_bin, ece, nll, reliability

PROBS = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.45, 0.55]])
TRUTH = [0, 1, 1, 1]


def test_reliability_table_of_four_images():
    table = reliability(TRUTH, PROBS, bins=10)
    assert_array_equal(table.count, [0, 0, 0, 0, 0, 2, 0, 0, 2, 0])
    assert_allclose(table.confidence[[5, 8]], [0.575, 0.9])
    assert_allclose(table.accuracy[[5, 8]], [1.0, 0.5])
    assert np.isnan(table.accuracy[0])


def test_ece_weights_each_bin_by_its_images():
    assert ece(TRUTH, PROBS, bins=10) == pytest.approx((2 * 0.425 + 2 * 0.4) / 4)


def test_ece_of_certain_and_right_is_zero_and_of_certain_and_wrong_is_one():
    certain = np.eye(3)[[0, 1, 2]]
    assert ece([0, 1, 2], certain) == 0
    assert ece([1, 2, 0], certain) == 1


@pytest.mark.parametrize(("top", "index"), [(1.0, 9), (0.9, 8), (np.nextafter(0.9, 1), 9), (0.5, 4), (0.51, 5)])
def test_bins_are_closed_above(top, index):
    assert confidence_bin(np.array([[top, 1 - top]]), bins=10)[0] == index


def test_brier_of_two_images():
    assert brier([0, 1], [[0.8, 0.2], [0.6, 0.4]]) == pytest.approx((0.08 + 0.72) / 2)


def test_nll_of_an_impossible_truth_is_large_and_finite():
    assert nll([0, 1], [[0.5, 0.5], [1.0, 0.0]]) == pytest.approx((math.log(2) + 52 * math.log(2)) / 2)
