from dataclasses import replace

import numpy as np
import pytest

from millscale.core.errors import ModelError
from millscale.data.split import split
from millscale.imaging.decode import read_image
from millscale.imaging.quality import fit_limits, measure
from millscale.learn.probe import ProbeConfig, train_probe
from millscale.learn.recipe import Task
from millscale.metrics.predictions import PredictionTable
from millscale.pipeline.config import TrainConfig
from millscale.pipeline.tasks.classify import PARITY, bundle_of, check_bundle
from millscale.runtime.bundle import open_bundle
from millscale.runtime.inspector import Inspector
from millscale.runtime.openset import FILES


def silent(what, done, total):
    pass


@pytest.fixture(scope="module")
def made(steel, tiny_path, tmp_path_factory):
    """(task, trained, bundle) of a probe on three folds."""
    groups = {record.id: record.group for record in steel.records}
    home = {name: k for k, fold in enumerate(split(steel, folds=3, groups=groups).folds) for name in fold}
    folds = np.array([home[name] for name in steel.ids])
    task = Task(steel, folds, 0, tmp_path_factory.mktemp("task"), silent)
    trained = train_probe(task, ProbeConfig(str(tiny_path), head="lda"))
    return task, trained, bundle(task, trained, TrainConfig("some/Strip 4"))


def bundle(task, trained, config):
    labels = tuple(record.label for record in task.manifest.records)
    paths = tuple(record.path for record in task.manifest.records)
    table = PredictionTable(task.manifest.ids, paths, labels, task.manifest.classes, trained.probs)
    return bundle_of(task, config, trained, table.evaluate(resamples=20), "3 folds")


def test_a_bundle_that_answers_as_the_model_is_let_through(made):
    task, trained, made_bundle = made
    told = []
    check_bundle(made_bundle, task.manifest, trained, lambda *step: told.append(step))
    assert told[-1] == ("parity of the bundle", 60, 60)


@pytest.mark.parametrize("difference", [2 * PARITY, 0.5])
def test_a_bundle_that_answers_otherwise_is_refused(made, difference):
    task, trained, made_bundle = made
    reference = trained.reference.copy()
    reference[-1, 0] += difference
    with pytest.raises(ModelError, match=r"the bundle's probabilities differ .* The bundle is not written"):
        check_bundle(made_bundle, task.manifest, replace(trained, reference=reference), silent)


def test_the_bundle_is_named_after_the_data_or_as_asked(made):
    task, trained, made_bundle = made
    assert made_bundle.card.name == "Strip 4"
    assert bundle(task, trained, TrainConfig("x", name="mine")).card.name == "mine"


def test_no_pixel_of_the_users_travels_with_it(made, steel, tmp_path):
    _, _, made_bundle = made
    data = made_bundle.save(tmp_path / "a.millscale").read_bytes()
    assert set(made_bundle.members) == {"classifier.onnx", "golden.png", "seen.npy", *FILES}
    assert str(steel.source).encode() not in data
    assert steel.records[0].path.name.encode() not in data


def test_it_opens_again_and_passes_its_own_golden_picture(made, tmp_path):
    path = made[2].save(tmp_path / "a.millscale")
    assert open_bundle(path).card == made[2].card
    assert Inspector.open(path).card.classes == made[0].manifest.classes


def test_its_limits_of_image_quality_are_those_of_the_training_images(made, steel):
    card = made[2].card
    assert card.quality == fit_limits([measure(read_image(record.path)) for record in steel.records])
    assert Inspector(made[2]).inspect(np.zeros((96, 96), np.uint8)).fault.startswith("black frame (highlights 0")


@pytest.mark.parametrize(("name", "good"), [("good", ("good",)), ("OK", ("OK",)), ("Goodwill", ())])
def test_a_usual_name_makes_a_class_good(made, name, good):
    task, trained, _ = made
    manifest = task.manifest
    classes = (name, *manifest.classes[1:])
    records = tuple(replace(r, label=name if r.label == manifest.classes[0] else r.label) for r in manifest.records)
    renamed = replace(task, manifest=replace(manifest, classes=classes, records=records))
    assert bundle(renamed, trained, TrainConfig("x")).card.good_classes == good
