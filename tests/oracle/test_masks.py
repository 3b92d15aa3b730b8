import numpy as np
import pytest
from scipy import ndimage

from millscale.data.masks import boxes_of_mask, regions_of_mask

EIGHT_NEIGHBOURS = np.ones((3, 3))


@pytest.mark.parametrize("seed", range(5))
def test_boxes_are_those_of_scipys_labels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(40):
        height, width = rng.integers(1, 40, 2)
        mask = rng.random((height, width)) < rng.random()
        labels, _ = ndimage.label(mask, EIGHT_NEIGHBOURS)
        areas = np.bincount(labels.ravel())[1:]
        for least in (1, 4):
            expected = sorted(
                (columns.start, rows.start, columns.stop, rows.stop)
                for (rows, columns), area in zip(ndimage.find_objects(labels), areas, strict=True)
                if area >= least
            )
            assert sorted(map(tuple, boxes_of_mask(mask, least).tolist())) == expected


@pytest.mark.parametrize("seed", range(5))
def test_regions_of_pixels_are_scipys_labels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(40):
        mask = rng.random(rng.integers(1, 40, 2)) < rng.random()
        labels, _ = ndimage.label(mask, EIGHT_NEIGHBOURS)
        np.testing.assert_array_equal(regions_of_mask(mask), labels[mask] - 1)
