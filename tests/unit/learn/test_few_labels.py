import numpy as np
import pytest
from scipy.sparse import csr_array

from millscale.core.errors import DataError
from millscale.learn.few_labels import Surroundings
from millscale.learn.learning_curve import learning_curve
from millscale.learn.neighbour_graph import neighbour_graph, whitened
from millscale.learn.propagate import smooth, spread
from millscale.learn.suggestions import suggestions


def clouds(rng, *, per_class=60, classes=3, wide=0.6):
    """``(n, 2, 20)`` two noisy vectors of each image around its class's centre, and the classes."""
    centres = rng.normal(size=(classes, 20)) * 1.5
    targets = np.repeat(np.arange(classes), per_class)
    own = centres[targets] + wide * rng.normal(size=(len(targets), 20))
    return np.stack([own + 0.05 * rng.normal(size=own.shape) for _ in range(2)], 1).astype(np.float32), targets


def few(targets, rows):
    hidden = np.full(len(targets), -1)
    hidden[rows] = targets[rows]
    return hidden


def test_label_spreading_is_the_solution_of_its_equation():
    graph = neighbour_graph(whitened(clouds(np.random.default_rng(0))[0][:, 0], 8, 0.5), 6)
    targets = few(np.repeat(np.arange(3), 60), [0, 1, 60, 120])
    seeds = (targets[:, None] == np.arange(3)) / np.array([2, 1, 1])
    mass = np.linalg.solve(np.eye(180) - 0.9 * graph.toarray(), seeds)
    expected = mass / mass.sum(1, keepdims=True)
    expected /= np.sqrt(expected.mean(0))
    expected /= expected.sum(1, keepdims=True)
    np.testing.assert_allclose(spread(graph, targets, 3, reach=0.9), expected, atol=1e-4)


def test_a_class_without_label_gets_nothing():
    graph = neighbour_graph(whitened(clouds(np.random.default_rng(0))[0][:, 0], 8, 0.5), 6)
    probs = spread(graph, few(np.repeat(np.arange(3), 60), [0, 60]), 3)
    assert probs[:, 2].max() < 1e-3


def test_smoothing_keeps_what_all_neighbours_share_and_mends_the_odd_one():
    ring = np.roll(np.eye(6), 1, 0) + np.roll(np.eye(6), -1, 0)
    said = np.tile([0.9, 0.1], (6, 1))
    said[3] = [0.2, 0.8]
    mended = smooth(csr_array(ring / 2), said)
    assert (mended[:, 0] > 0.5).all()
    alike = np.tile([0.7, 0.3], (6, 1))
    np.testing.assert_allclose(smooth(csr_array(ring / 2), alike), alike)


def test_the_graph_is_that_of_a_slow_reference():
    points = whitened(np.random.default_rng(1).normal(size=(40, 5)), 5, 0.5)
    distance = ((points[:, None] - points[None]) ** 2).sum(2).astype(np.float64)
    np.fill_diagonal(distance, np.inf)
    scale = np.sqrt(np.sort(distance, axis=1)[:, 6])
    weight = np.zeros((40, 40))
    for i in range(40):
        for j in np.argsort(distance[i])[:8]:
            weight[i, j] = np.exp(-distance[i, j] / (scale[i] * scale[j]))
    weight = np.maximum(weight, weight.T)
    sums = weight.sum(1)
    np.testing.assert_allclose(neighbour_graph(points, 8).toarray(), weight / np.sqrt(np.outer(sums, sums)), atol=1e-5)


@pytest.mark.parametrize(("power", "variance"), [(0.5, 1.0), (0.0, None)])
def test_whitening_makes_all_directions_alike(power, variance):
    vectors = np.random.default_rng(2).normal(size=(500, 6)) * [9, 5, 3, 2, 1, 0.5]
    rows = whitened(vectors, 4, power)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    deviation = rows.std(0)
    assert (deviation.max() / deviation.min() < 1.2) == (variance is not None)


def test_constant_features_do_not_become_noise():
    vectors = np.zeros((30, 4))
    vectors[:, 0] = np.arange(30)
    assert whitened(vectors, 4, 0.5).shape == (30, 1)


def test_few_images_have_few_neighbours():
    assert neighbour_graph(whitened(np.eye(3), 2, 0.5), 15).shape == (3, 3)


def test_one_label_each_names_the_clouds():
    vectors, targets = clouds(np.random.default_rng(3))
    found = Surroundings(vectors).learn(few(targets, [0, 60, 120]), 3)
    assert (found.probs.argmax(1) == targets).mean() > 0.97
    again, truth = clouds(np.random.default_rng(3))
    assert (found.head.logits(again[:, 1]).argmax(1) == truth).mean() > 0.97
    np.testing.assert_allclose(found.probs.sum(1), 1)


def test_the_order_of_the_images_does_not_matter():
    rng = np.random.default_rng(4)
    vectors, targets = clouds(rng)
    known, order = few(targets, [0, 1, 60, 120]), rng.permutation(len(targets))
    one = Surroundings(vectors).learn(known, 3).probs
    other = Surroundings(vectors[order]).learn(known[order], 3).probs
    np.testing.assert_allclose(other, one[order], atol=1e-3)


def test_hidden_labels_say_how_sure_suggestions_are():
    vectors, targets = clouds(np.random.default_rng(5), wide=3.0)
    rows = np.concatenate([np.arange(c * 60, c * 60 + 12) for c in range(3)])
    folds = np.full(len(targets), -1)
    folds[rows] = np.arange(len(rows)) % 3
    found = suggestions(Surroundings(vectors), few(targets, rows), folds, 3)
    assert found.judged == len(rows)
    asked = folds < 0
    right = (found.probs.argmax(1) == targets)[asked].mean()
    assert abs(1 - found.wrong / found.judged - right) < 0.2
    assert abs(found.probs[asked].max(1).mean() - right) < 0.15


def test_a_class_with_a_single_label_does_not_spoil_the_confidence_of_others():
    vectors, targets = clouds(np.random.default_rng(6))
    rows = np.array([0, 1, 60, 61, 120])
    folds = np.full(len(targets), -1)
    folds[rows] = [0, 1, 0, 1, 0]
    single = suggestions(Surroundings(vectors), few(targets, rows), folds, 3)
    folds[121] = 1
    double = suggestions(Surroundings(vectors), few(targets, [*rows, 121]), folds, 3)
    assert np.median(single.probs.max(1)) > np.median(double.probs.max(1)) - 0.15  # it has two labels less to show


def test_a_single_label_of_each_class_is_never_hidden():
    vectors, targets = clouds(np.random.default_rng(6))
    folds = np.full(len(targets), -1)
    folds[[0, 60, 120]] = [0, 1, 2]
    found = suggestions(Surroundings(vectors), few(targets, [0, 60, 120]), folds, 3)
    assert (found.judged, found.wrong) == (0, 0)


def curve(vectors, targets, counts):
    groups = np.arange(len(targets)) // 2
    done = []
    points = learning_curve(
        vectors, targets, groups, groups % 5, counts, draws=3, seed=0, progress=lambda *told: done.append(told)
    )
    return points, done


def test_a_learning_curve_rises():
    vectors, targets = clouds(np.random.default_rng(7), wide=3.0)
    points, done = curve(vectors, targets, [1, 20])
    assert [point.labels for point in points] == [1, 20]
    one, many = points
    assert many.head.mean() > one.head.mean()
    assert many.alone.mean() > one.alone.mean()
    assert done[-1] == ("draws of labels", 6, 6)


def test_more_labels_than_images_are_refused():
    vectors, targets = clouds(np.random.default_rng(8), per_class=10)
    with pytest.raises(DataError, match="more than 8 images"):
        curve(vectors, targets, [1, 8])
