import numpy as np
import pytest

from millscale.explain.masks import random_masks
from millscale.explain.saliency import enlarged, heat_maps

CORNER, ROW = np.array([[1, 0], [0, 0]], np.float32), np.array([[1, 1], [0, 0]], np.float32)


@pytest.mark.parametrize(
    ("remains", "heat"),
    [
        ([1, 0, 0.5, 0.5], [[1, 0], [0, 0]]),  # all that matters is to see the corner
        ([0, 1, 0.5, 0.5], [[0, 1], [1, 1]]),  # … not to see it
        ([0.2, 0.6, 0, 0.4], [[0, 0.5], [1, 1]]),  # -.4 of the corner's and -.4 of the row's: -.8, 0, .8, .8
        ([0.7, 0.7, 0.2, 0.2], [[0, 0], [0, 0]]),  # seen or hidden, all the same
    ],
)
def test_maps_are_those_worked_out_by_hand(remains, heat):
    masks = [CORNER, 1 - CORNER, ROW, 1 - ROW]
    np.testing.assert_allclose(heat_maps(masks, np.array(remains, np.float64)[:, None], (2, 2)), [heat], atol=1e-6)


def test_targets_do_not_mix():
    masks = [CORNER, 1 - CORNER, ROW, 1 - ROW]
    remains = np.array([[1, 0], [0, 0], [0.5, 1], [0.5, 0]], np.float64)
    np.testing.assert_allclose(heat_maps(masks, remains, (2, 2)), [CORNER, ROW])


@pytest.mark.parametrize("size", [(40, 40), (200, 200), (37, 53)])
@pytest.mark.parametrize("count", [16, 400])
def test_where_nothing_made_a_difference_rounding_makes_no_map(size, count):
    masks = random_masks(size, count, 8, np.random.default_rng(0))
    assert not heat_maps(masks, np.full((count, 1), 0.9), size).any()


def test_a_small_difference_still_makes_its_map():
    masks = random_masks((40, 40), 400, 4, np.random.default_rng(0))
    seen = np.array([mask[10:20, 20:30].mean() for mask in masks])
    (heat,) = heat_maps(masks, 0.9 + 1e-5 * seen[:, None], (40, 40))
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert 10 <= row < 20
    assert 20 <= column < 30


def test_a_long_image_may_be_a_few_pixels_wide():
    masks = random_masks((3, 4000), 16, 8, np.random.default_rng(0))
    (small,) = heat_maps(masks, np.linspace(0, 1, 16)[:, None], (3, 4000))
    assert small.shape == (1, 500)
    assert enlarged(small, (3, 4000)).shape == (3, 4000)


def test_the_map_of_a_long_image_is_made_small_and_lies_where_it_should():
    size = (700, 1400)
    masks = random_masks(size, 200, 6, np.random.default_rng(0))
    seen = np.array([mask[100:200, 1000:1100].mean() for mask in masks])
    (small,) = heat_maps(masks, seen[:, None], size)
    assert max(small.shape) <= 512
    heat = enlarged(small, size)
    assert (heat.shape, heat.dtype) == (size, np.float32)
    row, column = np.unravel_index(heat.argmax(), size)
    assert abs(row - 150) < 120
    assert abs(column - 1050) < 120
    assert enlarged(heat, size) is heat
