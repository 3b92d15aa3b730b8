"""Heads and calibration against scikit-learn, or against the plainest computation there is."""

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from millscale.learn.calibrate import calibrated, conformal_threshold, fit_temperature
from millscale.learn.heads import fit_lda, fit_logistic, fold_moments


def clouds(seed, classes, n=150, d=9):
    rng = np.random.default_rng(seed)
    targets = rng.choice(classes, n, p=np.arange(1, classes + 1) / np.arange(1, classes + 1).sum())
    mix = rng.normal(size=(d, d)) * rng.uniform(0.1, 5, d)
    features = rng.normal(size=(n, d)) @ mix + rng.normal(size=(classes, d))[targets] * 3
    return features.astype(np.float32), targets, rng.integers(0, 4, n)


def pooled_deviation(features, targets):
    centred = features.astype(np.float64).copy()
    for c in np.unique(targets):
        centred[targets == c] -= centred[targets == c].mean(0)
    return np.sqrt((centred**2).mean(0))


@pytest.mark.parametrize("shrinkage", [0.01, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("classes", [3, 6])
def test_lda_is_scikit_learns_on_features_of_unit_within_class_deviation(shrinkage, classes):
    # With unit deviations scikit-learn's target, the mean variance times the identity, is ours: the identity.
    features, targets, _ = clouds(classes, classes)
    scale = pooled_deviation(features, targets)
    reference = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(features / scale, targets)
    (moments,) = fold_moments([features[:, None]], targets, np.zeros(len(targets), int), classes)
    found = fit_lda(moments, shrinkage).logits(features)
    expected = reference.decision_function(features / scale)
    np.testing.assert_allclose(_centred(found), _centred(expected), rtol=1e-4, atol=1e-4)


def _centred(logits):
    """What a softmax sees of logits: ours are about another origin than scikit-learn's."""
    return logits - logits.mean(1, keepdims=True)


def test_lda_of_two_classes_has_scikit_learns_probabilities():
    features, targets, _ = clouds(1, 2)
    scale = pooled_deviation(features, targets)
    reference = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.2).fit(features / scale, targets)
    (moments,) = fold_moments([features[:, None]], targets, np.zeros(len(targets), int), 2)
    found = calibrated(fit_lda(moments, 0.2).logits(features), 1.0)
    np.testing.assert_allclose(found, reference.predict_proba(features / scale), atol=1e-5)


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("strength", [0.1, 1.0])
def test_logistic_has_scikit_learns_probabilities(classes, strength):
    features, targets, _ = clouds(classes, classes)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=5000, tol=1e-8))
    expected = model.fit(features.astype(np.float64), targets).predict_proba(features)
    found = calibrated(fit_logistic(features, targets, classes, strength).logits(features), 1.0)
    # Ours stops earlier, at scikit-learn's tolerance of 1e-3.
    assert np.abs(found - expected).max() < 0.02
    assert np.abs(found - expected).mean() < 2e-3


@pytest.mark.parametrize("chunk", [7, 64, 1000])
def test_moments_of_any_union_of_folds_are_those_of_its_images(chunk):
    features, targets, folds = clouds(5, 4)
    chunks = [features[start : start + chunk, None] for start in range(0, len(features), chunk)]
    parts = fold_moments(chunks, targets, folds, 4)
    union = parts[0] + parts[1] + parts[2] + parts[3] - parts[2]
    rows = folds != 2
    centred = features[rows].astype(np.float64) - union.origin
    for c in range(4):
        assert union.count[c] == (targets[rows] == c).sum()
        np.testing.assert_allclose(union.total[c], centred[targets[rows] == c].sum(0), atol=1e-8)
    np.testing.assert_allclose(union.scatter, centred.T @ centred, rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize(("seed", "scale"), [(0, 0.2), (1, 1.0), (2, 12.0)])
def test_the_temperature_is_the_best_of_a_fine_grid(seed, scale):
    rng = np.random.default_rng(seed)
    n, classes = 80, 4
    y = rng.integers(0, classes, n)
    logits = scale * (rng.normal(size=(n, classes)) + 1.5 * (np.arange(classes) == y[:, None]))
    target = np.full((n, classes), 1 / (n + classes))
    target[np.arange(n), y] = (n + 1) / (n + classes)

    def loss(temperature):
        scaled = logits / temperature
        scaled = scaled - scaled.max(1, keepdims=True)
        return -(target * (scaled - np.log(np.exp(scaled).sum(1, keepdims=True)))).sum()

    grid = np.geomspace(0.01, 100, 4000)
    best = grid[np.argmin([loss(temperature) for temperature in grid])]
    assert fit_temperature(logits, y) == pytest.approx(best, rel=5e-3)


@pytest.mark.parametrize(("n", "miscoverage"), [(49, 0.1), (99, 0.05), (19, 0.3)])
def test_conformal_sets_cover_as_promised(n, miscoverage):
    rng = np.random.default_rng(n)
    covered = []
    for _ in range(500):
        p_true = rng.beta(4, 1, 400)
        probs = np.column_stack([p_true, 1 - p_true])
        threshold = conformal_threshold(probs[:n], np.zeros(n, int), miscoverage)
        covered.append((1 - p_true[n:] <= threshold).mean())
    exact = np.ceil((n + 1) * (1 - miscoverage)) / (n + 1)  # for scores without ties
    assert exact >= 1 - miscoverage
    assert np.mean(covered) == pytest.approx(exact, abs=0.008)


def test_copies_of_an_image_are_no_evidence():
    rng = np.random.default_rng(0)
    p_true = rng.beta(4, 1, 30)
    once = np.column_stack([p_true, 1 - p_true])
    repeats = rng.integers(1, 9, 30)
    often, groups = np.repeat(once, repeats, axis=0), np.repeat(np.arange(30), repeats)
    wanted = conformal_threshold(once, np.zeros(30, int), 0.1)
    assert conformal_threshold(often, np.zeros(len(often), int), 0.1, groups.tolist()) == pytest.approx(wanted)
