import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from millscale.metrics.evaluation import evaluate_classification


@st.composite
def runs(draw):
    classes = draw(st.integers(1, 6))
    images = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    probs = rng.dirichlet(np.full(classes, draw(st.sampled_from([0.05, 1.0, 20.0]))), images)
    return rng.integers(0, classes, images), probs, rng.integers(0, draw(st.integers(1, 30)), images), rng


def measure(truth, probs, groups):
    return evaluate_classification(truth, probs, [str(i) for i in range(probs.shape[1])], groups, resamples=60)


def numbers(metrics):
    return [
        metrics.accuracy,
        metrics.balanced_accuracy,
        metrics.macro_f1,
        metrics.ece,
        metrics.brier,
        metrics.nll,
    ]


@settings(deadline=None, max_examples=60)
@given(runs())
def test_the_order_of_images_does_not_matter(run):
    truth, probs, groups, rng = run
    order = rng.permutation(len(truth))
    before, after = measure(truth, probs, groups), measure(truth[order], probs[order], groups[order])
    assert_allclose(numbers(before), numbers(after), atol=1e-12)
    assert np.array_equal(before.confusion, after.confusion)


@settings(deadline=None, max_examples=60)
@given(runs())
def test_the_order_of_classes_does_not_matter(run):
    truth, probs, groups, rng = run
    order = rng.permutation(probs.shape[1])
    before, after = measure(truth, probs, groups), measure(np.argsort(order)[truth], probs[:, order], groups)
    assert_allclose(numbers(before), numbers(after), atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(runs())
def test_perfect_predictions_score_one_and_keep_a_lower_bound_below_it(run):
    truth, probs, groups, _ = run
    metrics = measure(truth, np.eye(probs.shape[1])[truth], groups)
    assert_allclose(numbers(metrics), [1, 1, 1, 0, 0, 0], atol=1e-12)
    low, high = metrics.intervals["accuracy"]
    assert low < 1
    assert high == 1


@settings(deadline=None, max_examples=60)
@given(runs())
def test_numbers_and_intervals_stay_in_range(run):
    truth, probs, groups, _ = run
    metrics = measure(truth, probs, groups)
    assert metrics.confusion.sum() == len(truth)
    for value, key in zip(numbers(metrics), ("accuracy", "balanced_accuracy", "macro_f1", "ece"), strict=False):
        low, high = metrics.intervals[key]
        if key == "ece" and metrics.groups == 1:
            assert np.isnan([low, high]).all()
        else:
            assert 0 <= low <= value <= high <= 1


@settings(deadline=None, max_examples=30)
@given(runs())
def test_arguments_are_left_as_they_were(run):
    truth, probs, groups, _ = run
    copies = truth.copy(), probs.copy(), groups.copy()
    measure(truth, probs, groups)
    for now, before in zip((truth, probs, groups), copies, strict=True):
        assert np.array_equal(now, before)
