import numpy as np
import pytest
from scipy.sparse import csr_array

from millscale.learn.selection import choose, influence, margin_doubt, next_to_label

LINE = np.array([[1.0, 0.6, 0.1, 0.0, 0.0], [0.6, 1.0, 0.6, 0.0, 0.0], [0.1, 0.6, 1.0, 0.0, 0.0],
                 [0.0, 0.0, 0.0, 1.0, 0.5], [0.0, 0.0, 0.0, 0.5, 1.0]], np.float32)  # fmt: skip
"""1 stands between 0 and 2; 3 and 4 are by themselves."""
EACH = np.arange(5)


@pytest.mark.parametrize(
    ("labelled", "doubt", "groups", "count", "expected"),
    [
        ([], [1, 1, 1, 1, 1], EACH, 1, [1]),  # the most typical of the most
        ([], [1, 1, 1, 1, 1], EACH, 2, [1, 3]),  # then what the first does not reach
        ([1], [1, 1, 1, 1, 1], EACH, 1, [3]),  # a label covers its surroundings
        ([1, 3], [0, 0, 1, 0, 0], EACH, 1, [2]),  # among the covered, where the model is in doubt
        ([], [1, 1, 1, 1, 1], [0, 1, 1, 2, 2], 9, [1, 3, 0]),  # one a group, the best of it
        ([2], [1, 1, 1, 1, 1], [0, 1, 1, 2, 2], 9, [3, 0]),  # none of a group that has a label
        ([0, 3], [1, 1, 1, 1, 1], [0, 0, 0, 1, 1], 9, []),
        ([], [0, 0, 0, 0, 0], EACH, 5, [1, 3, 4, 0, 2]),  # also where the model is sure of all
    ],
)
def test_what_is_chosen(labelled, doubt, groups, count, expected):
    known = np.isin(EACH, labelled)
    assert choose(LINE, np.array(groups), known, np.array(doubt), count).rows.tolist() == expected


def test_each_image_is_counted_for_the_nearest_label_it_will_have():
    found = choose(LINE, EACH, EACH == 4, np.ones(5), 2)
    assert dict(zip(found.rows.tolist(), found.stands_for.tolist(), strict=True)) == {1: 3, 3: 1}


def test_influence_is_the_kernel_of_label_spreading():
    weights = np.array([[0, 2, 1, 0, 0], [2, 0, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 3], [0, 0, 0, 3, 0]], float)
    root = np.sqrt(weights.sum(0))
    graph = weights / root / root[:, None]
    kernel = sum((np.linalg.matrix_power(0.8 * graph, step) for step in range(200)), start=np.zeros((5, 5)))
    expected = kernel / np.sqrt(np.outer(np.diag(kernel), np.diag(kernel)))
    np.testing.assert_allclose(influence(csr_array(graph), reach=0.8), expected, atol=1e-5)


def test_doubt_is_one_less_the_margin():
    probs = np.array([[0.7, 0.1, 0.2], [0.4, 0.4, 0.2], [0.0, 1.0, 0.0]])
    np.testing.assert_allclose(margin_doubt(probs), [0.5, 1.0, 0.0])


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_handful_of_images_is_asked_one_by_one(n):
    vectors = np.eye(n, 4, dtype=np.float32)
    found = next_to_label(vectors, np.arange(n), np.zeros(n, bool), np.ones(n), 5)
    assert sorted(found.rows.tolist()) == list(range(n))


@pytest.mark.parametrize(("labels", "same"), [(9, True), (10, False)])
def test_doubt_counts_from_ten_labels_on(labels, same):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(80, 6)).astype(np.float32)
    known = np.arange(80) < labels
    doubts = (np.ones(80), rng.random(80) ** 4)
    one, two = (next_to_label(vectors, np.arange(80), known, doubt, 8).rows.tolist() for doubt in doubts)
    assert (one == two) is same
