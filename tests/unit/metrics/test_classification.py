import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from millscale.core.errors import DataError
from millscale.metrics.classification import checked, class_scores, confusion_matrix, mean_over_classes


def test_rows_of_the_confusion_matrix_are_the_truth():
    confusion = confusion_matrix([0, 0, 0, 1, 2], [0, 1, 1, 1, 0], 4)
    assert_array_equal(confusion, [[1, 2, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]])


def scores_of(confusion):
    table = np.array(confusion, dtype=float)
    return class_scores(table.diagonal(), table.sum(1), table.sum(0))


def test_scores_of_a_small_table():
    scores = scores_of([[3, 1], [2, 4]])
    assert_allclose(scores.precision, [3 / 5, 4 / 5])
    assert_allclose(scores.recall, [3 / 4, 4 / 6])
    assert_allclose(scores.f1, [6 / 9, 8 / 11])
    assert_array_equal(scores.support, [4, 6])


def test_class_absent_from_the_truth_has_no_recall_and_no_f1_and_is_left_out_of_means():
    scores = scores_of([[4, 0, 1], [0, 5, 0], [0, 0, 0]])
    assert_array_equal(np.isnan(scores.recall), [False, False, True])
    assert_array_equal(np.isnan(scores.f1), [False, False, True])
    assert scores.precision[2] == 0
    assert mean_over_classes(scores.recall, scores.support) == pytest.approx((4 / 5 + 1) / 2)


def test_class_never_predicted_has_no_precision_and_an_f1_of_zero():
    scores = scores_of([[4, 0], [3, 0]])
    assert np.isnan(scores.precision[1])
    assert scores.f1[1] == 0


def test_leading_axes_are_resamples():
    hits, truths, predictions = np.ones((5, 2)), np.full((5, 2), 2.0), np.full((5, 2), 4.0)
    scores = class_scores(hits, truths, predictions)
    assert_allclose(scores.recall, np.full((5, 2), 0.5))
    assert mean_over_classes(scores.recall, truths).shape == (5,)


@pytest.mark.parametrize(
    ("y_true", "probs", "message"),
    [
        ([0, 1], [[1.0, 0.0]], r"found \(2,\) and \(1, 2\)"),
        ([], np.empty((0, 2)), "at least one labelled image"),
        ([0.0], [[1.0, 0.0]], "class indices"),
        ([2], [[1.0, 0.0]], r"labels in \[0, 2\)"),
        ([-1], [[1.0, 0.0]], "leave unlabelled images out"),
        ([0, 0], [[1.0, 0.0], [0.7, 0.7]], "first at 1"),
        ([0], [[np.nan, 1.0]], "sum to 1"),
        ([0], [[1.5, -0.5]], "softmax"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(y_true, probs, message):
    with pytest.raises(DataError, match=message):
        checked(y_true, probs)
