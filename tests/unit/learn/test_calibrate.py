import math

import numpy as np
import pytest

from millscale.learn.calibrate import calibrated, conformal_threshold, fit_temperature, log_loss


@pytest.mark.parametrize(
    ("logits", "temperature", "probs"),
    [
        ([0.0, 0.0], 1.0, [0.5, 0.5]),
        ([math.log(3), 0.0], 1.0, [0.75, 0.25]),
        ([2 * math.log(3), 0.0], 2.0, [0.75, 0.25]),
        ([1000.0, 0.0], 1.0, [1.0, 0.0]),
        ([0.0, -np.inf], 5.0, [1.0, 0.0]),  # a class that was never seen
    ],
)
def test_probabilities_are_the_softmax_at_that_temperature(logits, temperature, probs):
    np.testing.assert_allclose(calibrated(np.array([logits]), temperature), [probs], atol=1e-12)


def test_a_classifier_that_is_right_three_times_of_four_says_so():
    # Whatever the size of the logits, the best two-class answer is the smoothed share of hits.
    for size in (0.1, 1.0, 30.0):
        logits, y = np.tile([size, 0.0], (4000, 1)), np.repeat([0, 0, 0, 1], 1000)
        found = calibrated(logits, fit_temperature(logits, y))[0, 0]
        assert found == pytest.approx(0.75, abs=1e-3)


@pytest.mark.parametrize(("images", "classes"), [(10, 2), (100, 2), (100, 6)])
def test_without_an_error_it_is_as_sure_as_its_images_allow(images, classes):
    y = np.arange(images) % classes
    logits = np.where(np.arange(classes) == y[:, None], 50.0, 0.0)
    sure = calibrated(logits, fit_temperature(logits, y)).max(1)
    np.testing.assert_allclose(sure, (images + 1) / (images + classes), atol=1e-4)


def test_images_of_a_class_that_was_never_seen_do_not_flatten_the_others():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(200, 3)) * 4
    y = logits.argmax(1)
    y[::10] = (y[::10] + 1) % 3
    alone = fit_temperature(logits, y)
    with_unseen = np.hstack([logits, np.full((200, 1), -np.inf)])
    with_unseen = np.vstack([with_unseen, [[1.0, 2.0, 3.0, -np.inf]] * 5])
    assert fit_temperature(with_unseen, np.append(y, [3] * 5)) == pytest.approx(alone, rel=0.02)


def test_with_nothing_to_fit_on_the_temperature_is_one():
    assert fit_temperature(np.array([[0.0, -np.inf]]), np.array([1])) == 1.0


@pytest.mark.parametrize(
    ("probs", "y", "nats"),
    [
        ([[0.5, 0.5]], [0], math.log(2)),
        ([[0.25, 0.75], [1.0, 0.0]], [1, 0], -math.log(0.75) / 2),
        ([[1.0, 0.0]], [1], -math.log(1e-12)),
    ],
)
def test_log_loss_is_the_mean_surprise(probs, y, nats):
    assert log_loss(np.array(probs), np.array(y)) == pytest.approx(nats)


@pytest.mark.parametrize(
    ("miscoverage", "threshold"),
    [
        (0.5, 0.5),  # ceil(10 · .5) = 5th of 9
        (0.2, 0.8),  # 8th
        (0.11, 0.9),  # ceil(8.9) = 9th
        (0.1, 0.9),  # 9th
        (0.09, 1.0),  # ceil(9.1) = 10th of 9: nothing can be promised
        (0.01, 1.0),
    ],
)
def test_the_conformal_threshold_is_that_order_statistic(miscoverage, threshold):
    p_true = 1 - np.array([0.3, 0.1, 0.9, 0.5, 0.7, 0.2, 0.4, 0.8, 0.6])
    probs = np.column_stack([p_true, 1 - p_true])
    assert conformal_threshold(probs, np.zeros(9, int), miscoverage) == pytest.approx(threshold)
