"""Weighted box fusion against the steps of the paper, written down one by one."""

import numpy as np
import pytest

from millscale.core.boxes import iou_matrix
from millscale.core.types import Boxes
from millscale.runtime.fusion import fuse


def detections(rng, count):
    """Around a few places, so that detectors agree on some of them."""
    centres = rng.uniform(20, 80, (4, 2))[rng.integers(0, 4, count)] + rng.normal(0, 3, (count, 2))
    sides = rng.uniform(20, 40, (count, 2))
    corners = np.concatenate([centres - sides / 2, centres + sides / 2], 1)
    return Boxes(corners, rng.integers(0, 2, count), rng.uniform(0.01, 1, count))


def slowly(found, weights, threshold):
    """Section 3 of the paper; of a cluster's members that share a detector's weight, all count."""
    everything = [
        (score * weight, score, weight, box.astype(float), int(name))
        for boxes, weight in zip(found, weights, strict=True)
        for box, score, name in zip(boxes.xyxy, boxes.score.astype(float), boxes.class_id, strict=True)
    ]
    answer = []
    for name in sorted({entry[4] for entry in everything}):
        clusters, means = [], []
        for entry in sorted((e for e in everything if e[4] == name), key=lambda e: -e[0]):
            overlaps = [iou_matrix(entry[3], mean)[0, 0] for mean in means]
            place = int(np.argmax(overlaps)) if overlaps and max(overlaps) > threshold else len(clusters)
            if place == len(clusters):
                clusters.append([])
                means.append(None)
            clusters[place].append(entry)
            total = sum(e[0] for e in clusters[place])
            means[place] = sum(e[0] * e[3] for e in clusters[place]) / total
        for members, mean in zip(clusters, means, strict=True):
            seen, all_of_them = sum(e[2] for e in members), sum(weights)
            score = sum(e[0] for e in members) / seen * min(seen, all_of_them) / all_of_them
            answer.append((name, score, mean))
    return sorted(answer, key=lambda a: -a[1])


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("weights", [(1, 1, 1), (3, 1, 2)])
def test_the_same_boxes_are_fused(seed, weights):
    rng = np.random.default_rng(seed)
    found = [detections(rng, count) for count in (12, 0 if seed == 3 else 9, 14)]
    answer = fuse(found, weights, iou=0.5)
    expected = slowly(found, weights, 0.5)
    np.testing.assert_array_equal(answer.class_id, [name for name, _, _ in expected])
    np.testing.assert_allclose(answer.score, [score for _, score, _ in expected], atol=1e-6)
    np.testing.assert_allclose(answer.xyxy, [box for _, _, box in expected], atol=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_a_weight_of_two_is_two_detectors_that_agree(seed):
    rng = np.random.default_rng(seed)
    one, other = detections(rng, 6), detections(rng, 6)
    heavy, twice = fuse([one, other], [2, 1]), fuse([one, one, other])
    np.testing.assert_array_equal(heavy.class_id, twice.class_id)
    np.testing.assert_allclose(heavy.score, twice.score, atol=1e-6)
