"""Our numbers against scikit-learn, and our intervals against the slow, obvious bootstrap."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import metrics as sk

from millscale.metrics.bootstrap import group_index, group_sums, resampled_sums
from millscale.metrics.calibration import brier, ece, nll
from millscale.metrics.evaluation import evaluate_classification


def predictions(seed, images, classes, sharpness):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, images)
    logits = rng.normal(size=(images, classes))
    logits[np.arange(images), truth] += sharpness
    probs = np.exp(logits)
    return truth, probs / probs.sum(1, keepdims=True), rng.integers(0, max(1, images // 3), images)


CASES = [
    (0, 400, 6, 1.5),
    (1, 50, 12, 0.0),
    (2, 7, 5, 1.0),
    (3, 1000, 2, 3.0),
    (4, 1, 3, 0.0),
]


@pytest.mark.parametrize(("seed", "images", "classes", "sharpness"), CASES)
def test_numbers_agree_with_scikit_learn(seed, images, classes, sharpness):
    truth, probs, groups = predictions(seed, images, classes, sharpness)
    ours = evaluate_classification(truth, probs, [str(i) for i in range(classes)], groups, resamples=20)
    guess, names = probs.argmax(1), np.arange(classes)
    present = np.unique(truth)
    assert ours.accuracy == pytest.approx(sk.accuracy_score(truth, guess))
    recalls = sk.recall_score(truth, guess, labels=present, average=None)
    assert ours.balanced_accuracy == pytest.approx(recalls.mean())
    f1 = sk.f1_score(truth, guess, labels=present, average="macro", zero_division=0)
    assert ours.macro_f1 == pytest.approx(f1)
    assert_array_equal(ours.confusion, sk.confusion_matrix(truth, guess, labels=names))
    precision, recall, _, support = sk.precision_recall_fscore_support(truth, guess, labels=names, zero_division=np.nan)
    assert_allclose(ours.per_class.precision, precision)
    assert_allclose(ours.per_class.recall, recall)
    assert_array_equal(ours.per_class.support, support)
    assert ours.nll == pytest.approx(sk.log_loss(truth, probs, labels=names))


def test_balanced_accuracy_agrees_where_every_class_occurs():
    truth, probs, groups = predictions(0, 400, 6, 1.5)
    ours = evaluate_classification(truth, probs, [str(i) for i in range(6)], groups, resamples=20)
    assert ours.balanced_accuracy == pytest.approx(sk.balanced_accuracy_score(truth, probs.argmax(1)))


def test_brier_is_twice_the_binary_brier_score_of_scikit_learn():
    truth, probs, _ = predictions(3, 1000, 2, 3.0)
    assert brier(truth, probs) == pytest.approx(2 * sk.brier_score_loss(truth, probs[:, 1]))


def test_nll_of_certain_and_wrong_agrees_with_scikit_learn():
    probs = np.array([[1.0, 0.0], [0.3, 0.7]])
    assert nll([1, 1], probs) == pytest.approx(sk.log_loss([1, 1], probs, labels=[0, 1]))


@pytest.mark.parametrize("seed", range(4))
def test_ece_agrees_with_its_definition(seed):
    truth, probs, _ = predictions(seed, 300, 4, 1.0)
    top, right = probs.max(1), probs.argmax(1) == truth
    expected = 0.0
    for low in range(15):
        chosen = (top > low / 15) & (top <= (low + 1) / 15)
        if chosen.any():
            expected += chosen.mean() * abs(top[chosen].mean() - right[chosen].mean())
    assert ece(truth, probs) == pytest.approx(expected)


def slow_bootstrap(truth, probs, groups, draws):
    """Resample the images themselves, group by group, and measure each draw with scikit-learn."""
    members = [np.flatnonzero(groups == g) for g in np.unique(groups)]
    for draw in draws:
        rows = np.concatenate([members[g] for g in draw])
        guess = probs[rows].argmax(1)
        yield (
            sk.accuracy_score(truth[rows], guess),
            sk.f1_score(truth[rows], guess, labels=np.unique(truth[rows]), average="macro", zero_division=0),
        )


def test_intervals_agree_with_a_slow_bootstrap():
    truth, probs, groups = predictions(7, 240, 3, 0.8)
    resamples = 300
    ours = evaluate_classification(truth, probs, ["a", "b", "c"], groups, seed=1, resamples=resamples)
    size = len(np.unique(groups))
    rng = np.random.default_rng(99)
    slow = np.array(list(slow_bootstrap(truth, probs, groups, rng.integers(0, size, (resamples, size)))))
    for column, key in enumerate(("accuracy", "macro_f1")):
        expected = np.quantile(slow[:, column], [0.025, 0.975])
        # The two use other draws: the ends of 300-draw intervals scatter by about 0.15 of their half width.
        half = (expected[1] - expected[0]) / 2
        assert_allclose(ours.intervals[key], expected, atol=0.35 * half)


def test_the_same_draws_give_the_same_totals_as_a_loop():
    truth, probs, groups = predictions(8, 90, 3, 0.8)
    right = (probs.argmax(1) == truth).astype(float)
    index = group_index(groups, len(groups))
    fast = resampled_sums(group_sums(right[:, None], index), seed=4, resamples=40)[:, 0]
    size = index.max() + 1
    draws = np.random.default_rng(4).integers(0, size, (40, size))
    slow = [sum(right[index == g].sum() for g in draw) for draw in draws]
    assert_array_equal(fast, slow)


def test_no_error_bound_is_close_to_the_exact_one():
    from scipy.stats import beta

    for groups in (20, 100, 650):
        truth = np.arange(groups) % 2
        ours = evaluate_classification(truth, np.eye(2)[truth], ["a", "b"], None, resamples=50)
        exact = beta.ppf(0.025, groups, 1)
        assert ours.intervals["accuracy"][0] == pytest.approx(exact, abs=0.6 / groups)


def test_interval_covers_the_true_accuracy_when_errors_are_rare():
    """Of 120 clustered images at 99.5 %, three runs in four show no error: percentiles alone give [1, 1]."""
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        wrong = np.repeat(rng.random(60) < 0.005, 2)
        probs = np.where(wrong[:, None], [[0.2, 0.8]], [[0.8, 0.2]])
        truth = np.zeros(120, dtype=int)
        ours = evaluate_classification(truth, probs, ["a", "b"], np.repeat(np.arange(60), 2), seed=seed, resamples=200)
        covered += ours.intervals["accuracy"][0] <= 0.995 <= ours.intervals["accuracy"][1]
    assert covered >= 0.93 * 200
