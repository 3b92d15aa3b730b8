import numpy as np
import pytest

from millscale.learn.heads import LinearHead, fit_lda, fit_logistic, fold_moments


@pytest.fixture
def clouds():
    """Three clouds of 40 points in five dimensions: features, targets, folds."""
    rng = np.random.default_rng(3)
    targets = np.arange(120) % 3
    centres = np.array([[0, 0, 0, 0, 0], [4, 0, 1, 0, 0], [0, 5, 0, 2, 0]])
    features = (centres[targets] + rng.normal(size=(120, 5)) * [1, 2, 0.5, 1, 3]).astype(np.float32)
    return features, targets, np.arange(120) // 3 % 4


def moments_of(features, targets, folds, classes=3, chunk=32):
    parts = [features[start : start + chunk, None] for start in range(0, len(features), chunk)]
    return fold_moments(parts, targets, folds, classes)


def test_logits_are_linear():
    head = LinearHead(np.array([[1.0, 0.0], [2.0, -1.0]]), np.array([0.5, 0.0]))
    assert head.logits(np.array([[1, 1], [0, 2]], np.float32)).tolist() == [[3.5, -1.0], [4.5, -2.0]]


def fit(kind, features, targets, classes=3):
    if kind == "lda":
        return fit_lda(moments_of(features, targets, np.zeros(len(targets), int), classes)[0], 0.1)
    return fit_logistic(features, targets, classes, 1.0)


@pytest.mark.parametrize("kind", ["lda", "logistic"])
def test_clouds_apart_are_told_apart(clouds, kind):
    features, targets, _ = clouds
    assert (fit(kind, features, targets).logits(features).argmax(1) == targets).mean() > 0.95


@pytest.mark.parametrize("kind", ["lda", "logistic"])
@pytest.mark.parametrize("absent", [0, 1, 2])
def test_a_class_without_images_is_never_named(clouds, kind, absent):
    features, targets, _ = clouds
    rows = targets != absent
    logits = fit(kind, features[rows], targets[rows]).logits(features)
    assert (logits[:, absent] == -np.inf).all()
    assert np.isfinite(np.delete(logits, absent, axis=1)).all()
    assert (logits.argmax(1)[rows] == targets[rows]).mean() > 0.95


@pytest.mark.parametrize("kind", ["lda", "logistic"])
def test_a_training_part_of_one_class_names_that_class_alone(clouds, kind):
    """Two classes, one of them a single group: the fold that holds it out leaves the other alone to learn from."""
    features, targets, _ = clouds
    logits = fit(kind, features[targets == 1], targets[targets == 1]).logits(features)
    assert np.isfinite(logits[:, 1]).all()
    assert (logits[:, [0, 2]] == -np.inf).all()


@pytest.mark.parametrize("kind", ["lda", "logistic"])
def test_units_and_offsets_of_features_change_nothing(clouds, kind):
    features, targets, _ = clouds
    units, offset = np.array([1e-3, 1, 50, 7, 0.1], np.float32), np.array([3, -2, 0, 100, 1], np.float32)
    plain = fit(kind, features, targets).logits(features)
    moved = features * units + offset
    np.testing.assert_allclose(fit(kind, moved, targets).logits(moved), plain, atol=5e-3)


@pytest.mark.parametrize("kind", ["lda", "logistic"])
def test_a_feature_that_never_changes_takes_no_part(clouds, kind):
    features, targets, _ = clouds
    dead = np.hstack([features, np.full((120, 1), 7, np.float32)])
    head = fit(kind, dead, targets)
    assert (head.weight[5] == 0).all()
    np.testing.assert_allclose(head.logits(dead), fit(kind, features, targets).logits(features), atol=1e-6)


def test_more_dimensions_than_images_still_give_a_head():
    rng = np.random.default_rng(0)
    targets = np.arange(12) % 2
    features = rng.normal(size=(12, 50)).astype(np.float32)
    features[:, 0] += 6 * targets
    head = fit_lda(moments_of(features, targets, np.zeros(12, int), 2)[0], 0.3)
    assert (head.logits(features).argmax(1) == targets).all()


def test_every_view_of_an_image_counts(clouds):
    features, targets, folds = clouds
    twice = np.stack([features, features + 1], axis=1)
    (one, two) = fold_moments([twice], targets, np.minimum(folds, 1), 3)
    assert (one.count + two.count).tolist() == [80, 80, 80]
    total = one.total + two.total + (one.count + two.count)[:, None] * one.origin
    np.testing.assert_allclose(total, [(2 * features[targets == c] + 1).sum(0) for c in range(3)], rtol=1e-5)


def test_the_features_are_not_changed(clouds):
    features, targets, folds = clouds
    before = features.copy()
    moments_of(features, targets, folds, chunk=200)
    fit_logistic(features, targets, 3, 1.0)
    assert (features == before).all()
