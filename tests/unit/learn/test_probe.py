import hashlib
from dataclasses import replace

import numpy as np
import pytest

from millscale.core.errors import DataError, ModelError, UsageError
from millscale.data.split import split
from millscale.learn.probe import ProbeConfig, train_probe
from millscale.learn.recipe import Task
from millscale.runtime.backends.onnxruntime import Network


def silent(what, done, total):
    pass


@pytest.fixture(scope="module")
def task(steel, tmp_path_factory):
    groups = {record.id: record.group for record in steel.records}
    home = {name: k for k, fold in enumerate(split(steel, folds=4, groups=groups).folds) for name in fold}
    folds = np.array([home[name] for name in steel.ids])
    return Task(steel, folds, 0, tmp_path_factory.mktemp("task"), silent)


@pytest.fixture(scope="module", params=[1, 2, 8])
def views(request):
    return request.param


@pytest.fixture(scope="module")
def trained(task, tiny_path, views):
    return train_probe(task, ProbeConfig(str(tiny_path), views=views, head="lda"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"views": 3}, "views: expected one of (1, 2, 4, 8), found 3"),
        ({"head": "svm"}, "head: expected auto, lda or logistic, found 'svm'"),
        ({"size": 16}, "size: expected 0 or at least 32 pixels, found 16"),
        ({"size": -1}, "size: expected 0 or at least 32 pixels, found -1"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(UsageError) as caught:
        ProbeConfig(**options)
    assert message in str(caught.value)


def test_it_learns_something_from_random_filters(task, trained):
    assert (trained.probs.argmax(1) == task.targets).mean() > 0.45  # chance is 1/6
    np.testing.assert_allclose(trained.probs.sum(1), 1)


def test_the_graph_answers_as_the_reference_says(task, trained):
    network = Network(trained.graph, "classifier", threads=1)
    for row in range(0, 72, 12):
        from millscale.imaging.decode import read_image

        tensor, _ = trained.preprocess.apply(read_image(task.manifest.records[row].path))
        (probs,) = network.run({"images": tensor[None]}, ["probs"])
        np.testing.assert_allclose(probs[0], trained.reference[row], atol=1e-5)


def test_no_image_is_judged_by_what_was_trained_on_its_fold(task, tiny_path, views, trained):
    """Shuffle the labels of one fold: its own predictions must not change while its fold is held out."""
    fold = 2
    rows = np.flatnonzero(task.folds == fold)
    records = list(task.manifest.records)
    labels = [records[row].label for row in rows]
    for row, label in zip(rows, np.random.default_rng(0).permutation(labels), strict=True):
        records[row] = replace(records[row], label=str(label))
    spoiled = replace(task, manifest=replace(task.manifest, records=tuple(records)))
    found = train_probe(spoiled, ProbeConfig(str(tiny_path), views=views, head="lda"))
    np.testing.assert_allclose(found.probs[rows], trained.probs[rows], atol=1e-9)
    others = np.flatnonzero(task.folds != fold)
    assert np.abs(found.probs[others] - trained.probs[others]).max() > 0.01


def test_neighbours_of_errors_come_from_other_folds(task, trained):
    near, wrong = trained.nearest, trained.probs.argmax(1) != task.targets
    assert wrong.any()
    assert (near.index[~wrong] == -1).all()
    assert (near.index[wrong] >= 0).all()
    assert (task.folds[near.index[wrong]] != task.folds[wrong][:, None]).all()
    assert (np.diff(near.similarity[wrong], axis=1) <= 0).all()
    assert (np.abs(near.similarity[wrong]) <= 1 + 1e-5).all()


def test_the_details_name_what_it_is_made_from(trained, tiny, views):
    assert trained.details["recipe"] == "probe"
    assert trained.details["config"]["views"] == views
    assert trained.details["dimensions"] == tiny.dimensions
    assert trained.details["backbones"][0]["sha256"] == hashlib.sha256(tiny.data).hexdigest()
    assert len(trained.details["head_of_each_fold"]) == 4


def test_two_folds_are_too_few(task, tiny_path):
    with pytest.raises(DataError, match="Expected at least 3 folds, found 2: one to judge, one to choose on"):
        train_probe(replace(task, folds=task.folds % 2), ProbeConfig(str(tiny_path)))


def test_a_missing_backbone_is_told(task):
    with pytest.raises(ModelError, match="expected an ONNX file, found none"):
        train_probe(task, ProbeConfig("/nowhere/a.onnx"))


def test_a_class_of_a_single_image_does_not_spoil_the_others(task, tiny_path, trained, views):
    records = (replace(task.manifest.records[0], label="odd"), *task.manifest.records[1:])
    manifest = replace(task.manifest, records=records, classes=(*task.manifest.classes, "odd"))
    found = train_probe(replace(task, manifest=manifest), ProbeConfig(str(tiny_path), views=views, head="lda"))
    assert np.isfinite(found.probs).all()
    assert np.isfinite(found.reference).all()
    for before, after in ((trained.probs, found.probs), (trained.reference, found.reference)):
        assert after[1:].max(1).mean() > 0.7 * before[1:].max(1).mean()


def test_logistic_regression_can_be_asked_for(task, tiny_path):
    found = train_probe(task, ProbeConfig(str(tiny_path), head="logistic"))
    assert {head["kind"] for head in found.details["head_of_each_fold"]} == {"logistic"}
    assert found.details["head"]["kind"] == "logistic"
    assert (found.probs.argmax(1) == task.targets).mean() > 0.45
