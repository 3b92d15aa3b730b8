"""What holds of every detector's answer, and the boxes of every image seen from eight sides."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from millscale.core.boxes import iou_matrix
from millscale.imaging.preprocess import Geometry
from millscale.runtime.card import Detection
from millscale.runtime.detect import decode
from millscale.runtime.views import boxes_in_view, boxes_of_view, view_of

quick = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**32 - 1)
SIZE = (60, 80)


def answer(seed, anchors, classes, *, coarse):
    """Random boxes and scores; coarse ones are full of ties."""
    rng = np.random.default_rng(seed)
    boxes = np.sort(rng.integers(-10, 90, (anchors, 2, 2)), axis=1).reshape(anchors, 4)
    scores = rng.integers(0, 5, (anchors, classes)) / 4 if coarse else rng.random((anchors, classes))
    return boxes.astype(np.float32), scores.astype(np.float32)


def slowly(boxes, scores, detection, size):
    """Greedy suppression as every textbook has it."""
    limits = np.array([size[1], size[0]] * 2)
    boxes = np.clip(boxes.astype(np.float64), 0, limits)
    places = [(-s, a, c) for (a, c), s in np.ndenumerate(scores) if s >= detection.least_score]
    kept = []
    for score, a, c in sorted(places):
        if (boxes[a, 2:] <= boxes[a, :2]).any():
            continue
        rivals = [boxes[b] for _, b, d in kept if d == c]
        if not rivals or iou_matrix(boxes[a], rivals).max() <= detection.iou:
            kept.append((score, a, c))
    return [(a, c) for _, a, c in kept][: detection.most], boxes


@quick
@given(seed=seeds, anchors=st.integers(0, 60), classes=st.integers(1, 3), coarse=st.booleans(), most=st.integers(1, 40))
def test_it_is_what_going_through_them_one_by_one_gives(seed, anchors, classes, coarse, most):
    boxes, scores = answer(seed, anchors, classes, coarse=coarse)
    # No two boxes of whole pixels on this image have just this IoU; at a tie, rounding would decide.
    detection = Detection(iou=0.4503, most=most)
    found = decode(boxes, scores, detection, Geometry(), SIZE)
    expected, clipped = slowly(boxes, scores, detection, SIZE)
    assert_array_equal(found.class_id, [c for _, c in expected])
    assert_array_equal(found.xyxy, np.array([clipped[a] for a, _ in expected]).reshape(-1, 4))
    assert_array_equal(found.score, [scores[a, c] for a, c in expected])


@quick
@given(seed=seeds, scale=st.sampled_from([0.5, 1.0, 2.0]), top=st.integers(0, 20))
def test_where_the_image_lies_in_the_tensor_does_not_matter(seed, scale, top):
    boxes, scores = answer(seed, 40, 2, coarse=False)
    geometry = Geometry(scale, scale, 3.0, float(top))
    there = decode(geometry.to_tensor(boxes), scores, Detection(), geometry, SIZE)
    here = decode(boxes, scores, Detection(), Geometry(), SIZE)
    assert_array_equal(there.class_id, here.class_id)
    assert_allclose(there.xyxy, here.xyxy, atol=1e-4)


sides = st.integers(1, 9)


@quick
@given(seed=seeds, height=sides, width=sides, view=st.integers(0, 7))
def test_a_box_encloses_the_same_pixels_in_every_view(seed, height, width, view):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    left, right = np.sort(rng.choice(width + 1, 2, replace=False))
    top, bottom = np.sort(rng.choice(height + 1, 2, replace=False))
    seen = view_of(image, view)
    (there,) = boxes_in_view(np.array([[left, top, right, bottom]]), view, (height, width)).astype(int)
    assert_array_equal(
        np.sort(seen[there[1] : there[3], there[0] : there[2]].reshape(-1, 3), axis=0),
        np.sort(image[top:bottom, left:right].reshape(-1, 3), axis=0),
    )


@pytest.mark.parametrize("view", range(8))
@given(seed=seeds, height=st.integers(1, 5000), width=st.integers(1, 5000))
@settings(max_examples=20, deadline=None)
def test_there_and_back_is_where_it_was(view, seed, height, width):
    # quarters of a pixel are exact in float32 up to 2^22
    boxes = np.random.default_rng(seed).integers(0, 20000, (7, 4)) / 4
    size = (height, width)
    assert_array_equal(boxes_of_view(boxes_in_view(boxes, view, size), view, size), boxes.astype(np.float32))
    assert_array_equal(boxes_in_view(boxes_of_view(boxes, view, size), view, size), boxes.astype(np.float32))
