"""The feature graph against a slow computation in numpy, on images that are not square."""

import numpy as np
import pytest

from millscale.features.backbone import open_backbones
from millscale.features.graph import classifier_graph, feature_graph
from millscale.runtime.backends.onnxruntime import Network

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def convolved(x, weight, bias):
    """3×3, stride 2, one pixel of zeros around; then ReLU. ``(c, h, w)`` → ``(k, h', w')``."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    height, width = ((side - 1) // 2 + 1 for side in x.shape[1:])
    result = np.zeros((len(weight), height, width))
    for k, row, column in np.ndindex(result.shape):
        patch = padded[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
        result[k, row, column] = max((patch * weight[k]).sum() + bias[k], 0.0)
    return result


def pooled(view, weights):
    """Mean and deviation of both maps of one ``(h, w, 3)`` uint8 view, signed square root."""
    x = ((view / 255 - MEAN) / STD).transpose(2, 0, 1)
    fine = convolved(x, *weights[0])
    coarse = convolved(fine, *weights[1])
    raw = np.concatenate([stat((1, 2)) for m in (fine, coarse) for stat in (m.mean, m.std)])
    return np.sign(raw) * np.abs(raw) ** 0.25


def dihedral(image):
    """The eight views, the image first: flips of the rows, the columns, both; then of the transpose."""
    for upright in (image, image.transpose(1, 0, 2)):
        yield from (upright, upright[::-1], upright[:, ::-1], upright[::-1, ::-1])


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(1).integers(0, 256, (13, 22, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def reference(image, tiny):
    return np.array([pooled(view, tiny.weights) for view in dihedral(image)])


def run(graph, *images):
    return Network(graph, "graph", threads=1).run({"images": np.stack(images)})


def test_features_of_the_eight_views(tiny_path, image, reference):
    (found,) = run(feature_graph(open_backbones(str(tiny_path))), image)
    assert found.shape == (1, 8, 20)
    np.testing.assert_allclose(found[0], reference, atol=2e-5)
    assert np.ptp(reference, axis=0).max() > 0.01  # the views do differ


def test_a_batch_gives_what_each_image_gives(tiny_path, image):
    graph = feature_graph(open_backbones(str(tiny_path)))
    other = image[::-1, ::-1] // 2
    (batch,) = run(graph, image, other)
    for row, single in zip(batch, (image, other), strict=True):
        np.testing.assert_allclose(row, run(graph, single)[0][0], atol=1e-6)


@pytest.mark.parametrize("views", [1, 2, 4, 8])
def test_probabilities(tiny_path, image, reference, views):
    rng = np.random.default_rng(2)
    weight, bias = rng.normal(size=(20, 4)), rng.normal(size=4)
    probs, features = run(classifier_graph(open_backbones(str(tiny_path)), weight, bias, views=views), image)
    vector = reference[:views].mean(0)
    exponent = np.exp(vector @ weight + bias)
    np.testing.assert_allclose(features[0], vector, atol=2e-5)
    np.testing.assert_allclose(probs[0], exponent / exponent.sum(), atol=2e-5)
