import json

import numpy as np
import pytest

from millscale.core.errors import DataError
from millscale.metrics.bootstrap import wilson_interval
from millscale.metrics.evaluation import evaluate_classification

NAMES = ("Crazing", "Scratches", "Patches")
PROBS = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1], [0.1, 0.9, 0.0]])


def test_document_has_the_keys_other_programs_rely_on():
    document = evaluate_classification([0, 0, 1, 1], PROBS, NAMES, ["a", "a", "b", "c"]).to_json()
    assert document["images"] == 4
    assert document["groups"] == 3
    assert document["errors"] == 2
    assert document["accuracy"] == 0.5
    assert document["balanced_accuracy"] == 0.5
    assert document["macro_f1"] == pytest.approx(0.5)
    assert document["confusion"] == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert document["per_class"]["Crazing"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}
    assert document["per_class"]["Patches"] == {"precision": None, "recall": None, "f1": None, "support": 0}
    assert document["intervals"]["recall/Patches"] == [None, None]


def test_document_is_strict_json():
    metrics = evaluate_classification([0, 0, 1, 1], PROBS, NAMES, None)
    document = metrics.to_json()
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_every_interval_holds_its_number():
    rng = np.random.default_rng(5)
    probs = rng.dirichlet(np.ones(3), 300)
    document = evaluate_classification(rng.integers(0, 3, 300), probs, NAMES, rng.integers(0, 90, 300)).to_json()
    for key, (low, high) in document["intervals"].items():
        number, _, name = key.partition("/")
        value = document["per_class"][name][number] if name else document[key]
        assert low <= value <= high, key
        assert high - low > 0, key


def test_perfect_predictions_are_not_certain():
    truth, group = np.arange(120) % 3, np.arange(120) // 4
    metrics = evaluate_classification(truth, np.eye(3)[truth], NAMES, group)
    assert (metrics.accuracy, metrics.errors, metrics.groups) == (1.0, 0, 30)
    assert metrics.intervals["accuracy"] == (wilson_interval(1.0, 30)[0], 1.0)


def test_a_mean_over_classes_is_no_surer_than_its_poorest_class():
    truth = np.repeat([0, 1, 2], [50, 50, 5])
    metrics = evaluate_classification(truth, np.eye(3)[truth], NAMES, None)
    assert metrics.intervals["accuracy"][0] == wilson_interval(1.0, 105)[0]
    assert metrics.intervals["balanced_accuracy"][0] == wilson_interval(1.0, 15)[0]
    assert metrics.intervals["recall/Patches"][0] == wilson_interval(1.0, 5)[0]


def test_grouping_widens_the_interval_when_errors_come_in_groups():
    group = np.repeat(np.arange(60), 5)
    truth = np.zeros(300, dtype=int)
    wrong = group % 4 == 0
    probs = np.where(wrong[:, None], [[0.1, 0.9]], [[0.9, 0.1]])
    by_group = evaluate_classification(truth, probs, ("a", "b"), group).intervals["accuracy"]
    by_image = evaluate_classification(truth, probs, ("a", "b"), None).intervals["accuracy"]
    assert by_group[1] - by_group[0] > 1.8 * (by_image[1] - by_image[0])


def test_one_image_of_one_class():
    metrics = evaluate_classification([0], [[0.9, 0.1]], ("a", "b"), ["g"])
    low, high = metrics.intervals["accuracy"]
    assert metrics.accuracy == 1
    assert low < 0.3
    assert high == 1


def test_columns_must_match_the_class_names():
    with pytest.raises(DataError, match="Expected 2 columns"):
        evaluate_classification([0], [[1.0, 0.0, 0.0]], ("a", "b"), None)
