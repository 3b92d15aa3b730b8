"""The decoder against torchvision's suppression, as large as real answers are."""

import numpy as np
import pytest

from millscale.imaging.preprocess import Geometry
from millscale.runtime.card import Detection
from millscale.runtime.detect import decode

torch = pytest.importorskip("torch", reason="needs torch")
ops = pytest.importorskip("torchvision.ops", reason="needs torchvision")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("anchors", "spread"), [(150, 60.0), (160, 4.0), (2000, 8.0)])
def test_the_same_boxes_survive(seed, anchors, spread):
    rng = np.random.default_rng(seed)
    # around twenty places, so that many overlap
    centres = rng.uniform(20, 180, (20, 2))[rng.integers(0, 20, anchors)] + rng.normal(0, spread, (anchors, 2))
    sides = rng.uniform(5, 60, (anchors, 2))
    boxes = np.concatenate([centres - sides / 2, centres + sides / 2], 1).astype(np.float32)
    scores = (rng.random((anchors, 6)) ** 8).astype(np.float32)
    found = decode(boxes, scores, Detection(), Geometry(), (200, 200))
    clipped = ops.clip_boxes_to_image(torch.from_numpy(boxes), (200, 200))
    clipped, flat = clipped.repeat_interleave(6, 0), torch.from_numpy(scores).flatten()
    classes = torch.arange(6).repeat(anchors)
    # the decoder lets a thousand compete
    best = flat.argsort(descending=True, stable=True)[:1000]
    best = best[flat[best] >= 0.001]
    solid = best[(clipped[best, 2:] > clipped[best, :2]).all(1)]
    kept = solid[ops.batched_nms(clipped[solid], flat[solid], classes[solid], 0.6)][:100]
    np.testing.assert_array_equal(found.class_id, classes[kept])
    np.testing.assert_allclose(found.xyxy, clipped[kept], atol=1e-4)
    np.testing.assert_array_equal(found.score, flat[kept])
