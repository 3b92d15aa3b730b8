"""What holds of every series of masks, and of every map made with one."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from millscale.explain.fill import seen_through
from millscale.explain.masks import random_masks
from millscale.explain.saliency import heat_maps

quick = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**32 - 1)
sides, cells = st.integers(1, 60), st.integers(2, 12)


@quick
@given(seed=seeds, height=sides, width=sides, cells=cells, pairs=st.integers(1, 5))
def test_masks_come_in_opposite_pairs_that_show_every_pixel_half_the_time(seed, height, width, cells, pairs):
    series = random_masks((height, width), 2 * pairs, cells, np.random.default_rng(seed))
    masks = np.stack(list(series))
    assert masks.shape == (len(series), height, width) == (2 * pairs, height, width)
    assert masks.min() >= 0
    assert masks.max() <= 1
    assert_allclose(masks[::2] + masks[1::2], 1, atol=1e-6)
    assert_allclose(masks.mean(0), 0.5, atol=1e-6)
    assert_array_equal(np.stack(list(series)), masks)  # a second look sees the same


@quick
@given(seed=seeds, cells=cells, share=st.floats(0, 1))
def test_what_remains_everywhere_alike_leaves_an_empty_map(seed, cells, share):
    masks = random_masks((23, 31), 16, cells, np.random.default_rng(seed))
    assert not heat_maps(masks, np.full((16, 1), share), (23, 31)).any()


@quick
@given(seed=seeds, more=st.floats(-0.5, 0.5), times=st.floats(0.1, 10))
def test_a_map_tells_differences_not_levels(seed, more, times):
    rng = np.random.default_rng(seed)
    masks, remains = random_masks((20, 30), 32, 6, rng), rng.random((32, 1))
    assert_allclose(heat_maps(masks, times * remains + more, (20, 30)), heat_maps(masks, remains, (20, 30)), atol=1e-4)


@quick
@given(seed=seeds, share=st.floats(0, 1, width=32))
def test_a_mixture_lies_between_the_image_and_what_hides_it(seed, share):
    image, hidden = np.random.default_rng(seed).integers(0, 256, (2, 5, 6, 3), dtype=np.uint8)
    seen = seen_through(image, hidden, np.full((5, 6), share))
    assert (seen >= np.minimum(image, hidden)).all()
    assert (seen <= np.maximum(image, hidden)).all()
