import numpy as np
import pytest
from PIL import Image

from millscale.report.heat import OUTLINE, laid_over, read_outline

GREY = np.full((40, 60), 120, np.uint8)
RADIUS = 5  # beyond the ring


def test_below_half_the_threshold_nothing_is_coloured():
    heat = np.full((40, 60), 0.49)
    heat[20, 30] = 0.4999  # where the ring goes
    away = np.hypot(np.arange(40)[:, None] - 20, np.arange(60) - 30) > RADIUS
    assert (laid_over(GREY, heat, None, 1.0)[away] == 120).all()


def test_the_higher_the_score_the_lighter_the_colour_in_multiples_of_the_threshold():
    lightness = []
    for level in (1.0, 1.4, 2.0, 9.0):
        heat = np.full((40, 60), level)
        seen = laid_over(GREY, heat, None, 1.0)
        assert (seen == laid_over(GREY, 7 * heat, None, 7.0)).all()
        lightness.append(int(seen[30, 50].astype(int).sum()))
    assert lightness[0] < lightness[1] < lightness[2] == lightness[3]


def test_a_ring_lies_about_the_highest_place():
    heat = np.zeros((40, 60))
    heat[10, 45] = 0.3
    changed = (laid_over(GREY, heat, None, 1.0) != 120).any(2)
    rows, columns = np.nonzero(changed)
    assert (rows.mean(), columns.mean()) == (pytest.approx(10), pytest.approx(45))
    assert not changed[10, 45]
    assert len(rows) < 60


def test_a_spot_of_one_pixel_of_a_large_map_is_still_seen():
    heat = np.zeros((4000, 6000), np.float32)
    heat[1234, 4321] = 5.0
    seen = laid_over(GREY, heat, None, 1.0)
    assert (seen[12, 43] != 120).any()


def test_the_outline_lies_around_the_mask_and_not_on_it():
    mask = np.zeros((40, 60), bool)
    mask[10:20, 10:30] = True
    seen = laid_over(GREY, None, mask, 1.0)
    red = (seen == OUTLINE).all(2)
    assert not red[mask].any()
    assert red[9:21, 9:31].sum() == red.sum() == 12 * 22 - 200
    assert (seen[~red] == 120).all()


def test_a_mask_of_the_whole_image_has_no_outline():
    assert (laid_over(GREY, None, np.ones((40, 60), bool), 1.0) == 120).all()


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (40, 60), (80, 3), (400, 600)])
def test_maps_and_masks_of_any_size_fit_any_image(size):
    rgb = np.repeat(GREY[..., None], 3, axis=2)
    seen = laid_over(rgb, np.ones(size), np.zeros(size, bool), 1.0)
    assert seen.shape == (40, 60, 3)
    assert seen.dtype == np.uint8
    assert (rgb == 120).all()


def test_masks_are_read_as_they_come_and_gone_ones_are_none(tmp_path):
    path = tmp_path / "mask.png"
    Image.fromarray(np.array([[0, 255], [100, 200]], np.uint8)).save(path)
    assert read_outline(path).tolist() == [[False, True], [False, True]]
    Image.new("RGB", (2, 1), (255, 0, 0)).save(path)
    assert read_outline(path).tolist() == [[True, True]]
    path.unlink()
    assert read_outline(path) is None
    assert read_outline(None) is None
