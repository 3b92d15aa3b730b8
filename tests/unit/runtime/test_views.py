import numpy as np
import pytest

from millscale.runtime.views import boxes_in_view, boxes_of_view, view_of

IMAGE = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
BOX = [0, 0, 1, 2]  # the first column

VIEWS = [
    ([[1, 2, 3], [4, 5, 6]], [0, 0, 1, 2]),
    ([[4, 5, 6], [1, 2, 3]], [0, 0, 1, 2]),
    ([[3, 2, 1], [6, 5, 4]], [2, 0, 3, 2]),
    ([[6, 5, 4], [3, 2, 1]], [2, 0, 3, 2]),
    ([[1, 4], [2, 5], [3, 6]], [0, 0, 2, 1]),
    ([[3, 6], [2, 5], [1, 4]], [0, 2, 2, 3]),
    ([[4, 1], [5, 2], [6, 3]], [0, 0, 2, 1]),
    ([[6, 3], [5, 2], [4, 1]], [0, 2, 2, 3]),
]


@pytest.mark.parametrize("view", range(8))
def test_the_eight_views(view):
    pixels, box = VIEWS[view]
    seen = view_of(IMAGE, view)
    assert seen.tolist() == pixels
    assert seen.flags.c_contiguous
    assert view_of(np.stack([IMAGE] * 3, 2), view)[..., 1].tolist() == pixels
    assert boxes_in_view(np.array([BOX]), view, (2, 3)).tolist() == [box]
    assert boxes_of_view(np.array([box]), view, (2, 3)).tolist() == [BOX]


def test_no_boxes_are_no_boxes():
    assert boxes_of_view(np.zeros((0, 4)), 5, (2, 3)).shape == (0, 4)


def test_they_are_the_views_of_the_classifier():
    """Its graph flips and transposes in the same order, so that "the first four" are the same four."""
    upright = IMAGE[None, None]
    flips = [[], [2], [3], [2, 3]]
    graph = [np.flip(base, axes)[0, 0] for base in (upright, upright.swapaxes(2, 3)) for axes in flips]
    assert all((view_of(IMAGE, k) == graph[k]).all() for k in range(8))
