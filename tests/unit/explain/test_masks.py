import numpy as np
import pytest

from millscale.explain.masks import MaskSeries, random_masks


@pytest.mark.parametrize(("shift", "row"), [(0, [1, 0.75, 0.25]), (1, [0.75, 0.25, 0])])
def test_a_grid_becomes_a_smooth_mask_that_its_shift_moves(shift, row):
    grids = np.array([[[True, False], [True, False]]])
    series = MaskSeries((2, 3), 2, grids, np.array([[1, shift]]))
    first, second = series
    np.testing.assert_allclose(first, [row, row])
    np.testing.assert_allclose(second, 1 - np.array([row, row]))


@pytest.mark.parametrize(
    ("size", "cells", "cell", "grid"),
    [((40, 40), 4, 10, (5, 5)), ((40, 20), 4, 10, (5, 3)), ((7, 41), 4, 11, (2, 5)), ((3, 2), 8, 1, (4, 3))],
)
def test_cells_are_counted_along_the_longer_side_with_one_more_to_shift_in(size, cells, cell, grid):
    series = random_masks(size, 6, cells, np.random.default_rng(0))
    assert (series.cell, series.grids.shape) == (cell, (3, *grid))


def test_a_coin_shows_each_cell_half_the_time_and_borders_stand_everywhere():
    series = random_masks((40, 40), 2000, 4, np.random.default_rng(0))
    np.testing.assert_allclose(series.grids.mean(0), 0.5, atol=0.07)  # 4 deviations
    for axis in (0, 1):
        assert set(series.shifts[:, axis].tolist()) == set(range(10))


def test_the_seed_decides():
    one, same, other = (np.stack(list(random_masks((9, 9), 4, 3, np.random.default_rng(s)))) for s in (1, 1, 2))
    assert (one == same).all()
    assert not (one == other).all()
