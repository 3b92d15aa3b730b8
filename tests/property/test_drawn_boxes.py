"""Labels of boxes, wherever the boxes lie."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from millscale.report.drawn_boxes import place_labels

SIDE = 200


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 12), height=st.integers(40, SIDE))
def test_labels_lie_in_the_image_at_their_size_and_do_not_depend_on_later_boxes(seed, count, height):
    corners = np.random.default_rng(seed).random((count, 2, 2)) * [SIDE, height]
    boxes = np.sort(corners, axis=1).reshape(count, 4)
    places = place_labels(boxes, [".50"] * count, (height, SIDE))
    assert places.shape == (count, 4)
    assert (places >= -1e-9).all()
    assert (places[:, 2:] <= np.array([SIDE, height]) + 1e-9).all()
    text, pad = 0.052 * SIDE, 0.006 * SIDE
    size = [0.62 * text * 3 + 2 * pad, text + 2 * pad]
    assert_allclose(places[:, 2:] - places[:, :2], np.broadcast_to(size, (count, 2)))
    assert_allclose(place_labels(boxes[: count // 2], [".50"] * (count // 2), (height, SIDE)), places[: count // 2])
