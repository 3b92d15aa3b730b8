"""Both training recipes on 24 images of two classes that a glance tells apart."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402
from torchvision import models  # noqa: E402

from millscale.core.errors import DataError, ModelError  # noqa: E402
from millscale.data.manifest import Manifest  # noqa: E402
from millscale.learn.openset import HeldOut, calibrate, fit_guard, moments_of  # noqa: E402
from millscale.learn.recipe import Task  # noqa: E402
from millscale.pipeline.recipes import finetune, scratch  # noqa: E402
from millscale.runtime.backends.onnxruntime import Network  # noqa: E402
from millscale.train.networks import resnet18  # noqa: E402
from millscale.train.pixels import prepared_pixels  # noqa: E402

SCRATCH = scratch.Config(size=32, epochs=3, batch=4, validation=0.25, rate=3e-3)
FINETUNE = finetune.Config(size=32, epochs=2, batch=4, validation=0.25)


def silent(what: str, done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def manifest(shades) -> Manifest:
    """Dark and bright images in 12 groups of two, in three folds of four groups."""
    return shades([("bright", "dark")[k // 2 % 2] for k in range(24)])


@pytest.fixture
def task(manifest, tmp_path) -> Task:
    return Task(manifest, np.arange(24) // 2 // 2 % 3, 7, tmp_path / "run", silent)


@pytest.fixture(scope="module")
def trained(manifest, tmp_path_factory):
    """What ``SCRATCH`` makes of the task, trained in a folder of its own."""
    folder = tmp_path_factory.mktemp("trained")
    return scratch.run(Task(manifest, np.arange(24) // 2 // 2 % 3, 7, folder, silent), SCRATCH)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder with random weights in place of the pretrained ResNet-18."""
    folder = tmp_path_factory.mktemp("weights")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_file(models.resnet18(weights=None).state_dict(), folder / resnet18.WEIGHTS)
    return folder


def test_the_evidence_is_of_the_held_out_fold_alone(trained, task):
    held_out = task.folds == 0
    assert_array_equal(np.isnan(trained.probs).all(1), ~held_out)
    assert_allclose(trained.probs[held_out].sum(1), 1)
    assert_array_equal(trained.probs[held_out].argmax(1), task.targets[held_out])
    assert trained.details["final"] != trained.details["folds"][0]


def test_the_graph_gives_the_reference(trained, task):
    pixels = prepared_pixels(task.manifest, trained.preprocess, task.folder, silent)
    found = Network(trained.graph, "graph", threads=1).run({"images": np.array(pixels)}, ["probs"])[0]
    assert_allclose(found, trained.reference, atol=1e-5)


def test_all_folds_can_be_held_out_and_the_first_network_kept(task):
    trained = scratch.run(task, replace(SCRATCH, epochs=1, held_out_folds=0, final="reuse"))
    assert not np.isnan(trained.probs).any()
    assert len(trained.details["folds"]) == 3
    assert trained.details["final"] == trained.details["folds"][0]
    first = task.folds == 0
    assert_allclose(trained.probs[first], trained.reference[first])


def test_wrong_images_come_with_neighbours_that_their_judge_was_trained_on(task):
    trained = scratch.run(task, replace(SCRATCH, epochs=1, held_out_folds=0, rate=1e-12, final="reuse"))
    wrong = trained.probs.argmax(1) != task.targets
    assert wrong.any()
    for row in np.flatnonzero(wrong):
        assert (task.folds[trained.nearest.index[row]] != task.folds[row]).all()
        assert (np.diff(trained.nearest.similarity[row]) <= 0).all()
    assert (trained.nearest.index[~wrong] == -1).all()


def test_an_interrupted_recipe_goes_on_and_ends_with_the_same_bits(trained, task):
    done: list[str] = []

    def interrupt(what: str, step: int, total: int) -> None:
        done.append(what)
        if done.count("final") == 7:
            raise KeyboardInterrupt

    cut = replace(task, progress=interrupt)
    with pytest.raises(KeyboardInterrupt):
        scratch.run(cut, SCRATCH)
    trained_before = done.count("fold 0")
    done[:] = ["final"] * 8
    again = scratch.run(cut, SCRATCH)
    assert trained_before == 1 + 3 * (12 // 4)
    assert done.count("fold 0") == 1
    assert again.graph == trained.graph
    assert_array_equal(again.probs, trained.probs)
    assert again.details == trained.details


def test_a_fold_is_not_trained_again_when_more_are_asked_for(task):
    config = replace(SCRATCH, epochs=1)
    first = scratch.run(task, config)
    done: list[str] = []
    more = replace(task, progress=lambda what, *_: done.append(what))
    both = scratch.run(more, replace(config, held_out_folds=2))
    assert (done.count("fold 0"), done.count("final")) == (1, 1)
    assert done.count("fold 1") > 2
    assert both.graph == first.graph
    assert_array_equal(both.probs[task.folds == 0], first.probs[task.folds == 0])


def test_another_seed_gives_another_network(task):
    config = replace(SCRATCH, epochs=1, final="reuse")
    first, other = scratch.run(task, config), scratch.run(replace(task, seed=8), config)
    assert first.graph != other.graph


def test_finetuning_starts_from_the_weights_and_a_fitted_head(task, weights, monkeypatch):
    monkeypatch.setenv("MILLSCALE_WEIGHTS", str(weights))
    config = replace(FINETUNE, network="resnet18", rate=1e-9, augment=0.0, final="reuse")
    trained = finetune.run(task, config)
    held_out = task.folds == 0
    assert_array_equal(trained.probs[held_out].argmax(1), task.targets[held_out])
    pixels = prepared_pixels(task.manifest, trained.preprocess, task.folder, silent)
    features = Network(trained.graph, "graph", threads=1).run({"images": np.array(pixels)}, ["features"])[0]
    assert features.shape == (24, 2 * (64 + 128 + 256))
    learned = features[task.folds != 0]
    assert abs(learned.mean()) < 0.1
    assert 0.8 < learned.std() < 1.2


def test_finetuning_without_weights_names_the_way_out(task, tmp_path, monkeypatch):
    monkeypatch.setenv("MILLSCALE_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("MILLSCALE_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"expected resnet18_tv_upto_layer3.safetensors .* set MILLSCALE_WEIGHTS"):
        finetune.run(task, replace(FINETUNE, network="resnet18"))


def test_images_of_one_class_are_refused(task, manifest):
    only = manifest.select(record.id for record in manifest.records if record.label == "dark")
    with pytest.raises(DataError, match="Expected images of at least two classes, found 1 in 12 images"):
        scratch.run(replace(task, manifest=only, folds=np.arange(12) % 3), SCRATCH)


def test_too_few_groups_are_refused(task, manifest):
    one_group = replace(manifest, records=tuple(replace(r, group="one") for r in manifest.records))
    with pytest.raises(DataError, match="Expected groups to learn two classes from"):
        scratch.run(replace(task, manifest=one_group, folds=np.arange(24) % 2), SCRATCH)


def test_the_guard_is_that_of_the_graphs_own_features(trained, task):
    pixels = prepared_pixels(task.manifest, trained.preprocess, task.folder, silent)
    features = Network(trained.graph, "graph", threads=1).run({"images": np.array(pixels)}, ["features"])[0]
    expected = fit_guard(moments_of(features, task.targets, 2)).distances(features)
    assert_allclose(trained.guarded.guard.distances(features).plain, expected.plain, rtol=0.02)
    held_out = np.isfinite(trained.guarded.distances.relative).all(1)
    assert_array_equal(held_out, task.folds == 0)
    assert (
        calibrate(trained.guarded, HeldOut(trained.probs, task.targets, task.folds), ("bright", "dark"), 0.1).measured
        <= 1
    )
