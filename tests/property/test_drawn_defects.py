"""Drawn defects: where they say they are, and nowhere else."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from millscale.learn.drawn_defects import draw_defect

shapes = st.tuples(st.integers(32, 120), st.integers(32, 120))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), shapes, shapes)
def test_what_changes_much_is_in_the_mask_and_the_rest_stays(seed: int, shape: tuple[int, int], other: tuple[int, int]):
    rng = np.random.default_rng(seed)
    image, source = (np.clip(rng.normal(120, 12, (*size, 3)), 0, 255).astype(np.uint8) for size in (shape, other))
    before = image.copy()
    drawn, mask = draw_defect(image, source, rng)
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    assert mask.shape == shape
    assert mask.dtype == np.bool_
    assert (image == before).all()
    change = np.abs(drawn.astype(int) - image).max(2)
    if mask.any():
        assert change[mask].mean() > change[~mask].mean() if (~mask).any() else True


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_the_same_generator_draws_the_same(seed: int):
    image = np.random.default_rng(1).integers(0, 256, (64, 48, 3), np.uint8)
    first, second = (draw_defect(image, image, np.random.default_rng(seed)) for _ in range(2))
    assert (first[0] == second[0]).all()
    assert (first[1] == second[1]).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_grey_photographs_get_the_defect_that_coloured_ones_get(seed: int):
    grey = np.repeat(np.random.default_rng(2).integers(40, 200, (48, 64, 1), np.uint8), 3, axis=2)
    tinted = grey.copy()
    tinted[0, 0, 2] += 1  # one pixel off grey, so that all channels are drawn on
    (plain, where), (coloured, also) = (draw_defect(one, grey, np.random.default_rng(seed)) for one in (grey, tinted))
    assert (where == also).mean() > 0.99
    assert np.abs(plain[:, :, 0].astype(int) - coloured[:, :, 0]).max() <= 2


def test_most_draws_show_something_and_hide_most_of_the_image():
    image = np.clip(np.random.default_rng(0).normal(120, 10, (96, 96, 3)), 0, 255).astype(np.uint8)
    shares = [draw_defect(image, image, np.random.default_rng(seed))[1].mean() for seed in range(200)]
    assert np.mean(np.array(shares) > 0) > 0.8
    assert np.median(shares) < 0.3
