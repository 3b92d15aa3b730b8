"""The guard against the plainest computation there is: matrices inverted, one loop over images and one over classes."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from millscale.learn.openset import SHRINKAGE, fit_guard, fit_limits, moments_of
from millscale.metrics.openset import accepted, auroc
from millscale.runtime.openset import Distances, ratios


def clouds(seed, classes, n=200, d=10):
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, n)
    mix = rng.normal(size=(d, d)) * rng.uniform(0.1, 5, d)
    features = rng.normal(size=(n, d)) @ mix + 20 + rng.normal(size=(classes, d))[targets] * 9
    return features.astype(np.float32), targets


def slow_metric(deviations):
    """The inverse of the shrunk correlation whose trailing half has one variance, in units of the features."""
    d = deviations.shape[1]
    scale = np.sqrt((deviations**2).mean(0))
    shrunk = (1 - SHRINKAGE) * (deviations / scale).T @ (deviations / scale) / len(deviations) + SHRINKAGE * np.eye(d)
    values, vectors = np.linalg.eigh(shrunk)
    values[: d - d // 2] = values[: d - d // 2].mean()
    return np.linalg.inv(vectors * values @ vectors.T) / np.outer(scale, scale)


@pytest.mark.parametrize("classes", [2, 5])
def test_distances_are_those_of_a_slow_double_loop(classes):
    features, targets = clouds(classes, classes)
    x = features.astype(np.float64)
    means = [x[targets == c].mean(0) for c in range(classes)]
    within = slow_metric(x - np.array(means)[targets])
    total = slow_metric(x - x.mean(0))
    strange = np.random.default_rng(0).normal(20, 30, (40, x.shape[1]))
    plain, relative = np.zeros((40, classes)), np.zeros((40, classes))
    for i, one in enumerate(strange):
        away = (one - x.mean(0)) @ total @ (one - x.mean(0))
        for c, mean in enumerate(means):
            plain[i, c] = ((one - mean) @ within @ (one - mean)) ** 0.5
            relative[i, c] = max(plain[i, c] ** 2 - away, 0) ** 0.5
    found = fit_guard(moments_of(features, targets, classes)).distances(strange)
    np.testing.assert_allclose(found.plain, plain, rtol=2e-3)  # the metrics are kept as float16
    np.testing.assert_allclose(found.relative**2, relative**2, atol=4e-3 * plain.max() ** 2)
    assert np.corrcoef(found.relative.ravel(), relative.ravel())[0, 1] > 0.999


def test_a_class_without_images_is_infinitely_far():
    features, targets = clouds(3, 3)
    seen = targets != 1
    relative, plain = fit_guard(moments_of(features[seen], targets[seen], 3)).distances(features)
    assert np.isinf(relative[:, 1]).all()
    assert np.isinf(plain[:, 1]).all()
    others = fit_guard(moments_of(features[seen], targets[seen] // 2, 2)).distances(features)
    np.testing.assert_allclose(relative[:, [0, 2]], others.relative)


def test_limits_and_ratios_are_those_worked_out_step_by_step():
    rng = np.random.default_rng(1)
    targets = np.repeat([0, 1, 2], 40)
    relative = rng.uniform(20, 30, (120, 3))
    relative[np.arange(120), targets] = rng.uniform(1, 2, 120) * np.array([1.0, 2.0, 4.0])[targets]
    plain = relative + 5
    probs = rng.dirichlet([9.0, 1.0, 1.0], 120)
    limits = fit_limits(Distances(relative, plain), probs, targets, 0.1)
    widths = [np.quantile(relative[targets == c, c], 0.95) for c in range(3)]
    near = [min(relative[i, c] / widths[c] ** 0.5 for c in range(3)) for i in range(120)]
    doubt = [np.log(1 - max(row)) for row in probs]
    power = np.std(np.log(near)) / np.std(doubt)
    raised = [a * max(1.0, np.exp(d - np.median(doubt))) ** power for a, d in zip(near, doubt, strict=True)]
    expected = sorted(raised)[108]  # 109 of 120: ⌈121 · .9⌉
    np.testing.assert_allclose(limits.relative, [expected * width**0.5 for width in widths])
    assert limits.farthest == max(min(row) for row in plain)
    assert (limits.usual, limits.power) == (pytest.approx(np.median(doubt)), pytest.approx(power))
    np.testing.assert_allclose(ratios(Distances(relative, plain), probs, limits), np.array(raised) / expected)
    beyond = ratios(Distances(relative, 5 * plain), probs, limits)
    for i, found in enumerate(beyond):
        far = 5 * min(plain[i]) / limits.farthest
        assert found == pytest.approx(max(raised[i] / expected, far if far > 1 else 0))


@pytest.mark.parametrize("ties", [False, True])
def test_auroc_and_fpr_are_scikit_learns(ties):
    rng = np.random.default_rng(4)
    near, far = rng.normal(0, 1, 300), rng.normal(1, 1, 200)
    if ties:
        near, far = np.round(near), np.round(far)
    truth, score = np.repeat([0, 1], [300, 200]), np.concatenate([near, far])
    assert auroc(near, far) == pytest.approx(roc_auc_score(truth, score))
    if not ties:
        # Known is the positive class of FPR95.
        fpr, tpr, _ = roc_curve(1 - truth, -score)
        assert accepted(near, far) == pytest.approx(fpr[tpr >= 0.95][0], abs=0.01)
