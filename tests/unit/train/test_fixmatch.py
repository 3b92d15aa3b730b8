"""FixMatch on dark and bright images, of which few have a label."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from millscale.core.errors import DataError  # noqa: E402
from millscale.data.manifest import Manifest  # noqa: E402
from millscale.learn.recipe import Task  # noqa: E402
from millscale.pipeline.recipes import fixmatch  # noqa: E402
from millscale.train import classifier  # noqa: E402
from millscale.train.fixmatch import lesson_of, moved_limits  # noqa: E402

CONFIG = fixmatch.Config(size=32, epochs=2, batch=4, unlabelled=2, network="small_cnn", head_first=False, rate=3e-3)
FOLDS = np.array([0, 0, 1, 1] * 3 + [-1] * 28)
"""Twelve labelled images in six groups, 28 without label in 14; the first pair of those has the group of fold 0's."""


def silent(what: str, done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def manifest(shades) -> Manifest:
    made = shades([("bright", "dark")[k // 4 % 2 if fold >= 0 else k % 2] for k, fold in enumerate(FOLDS)])
    bare = [replace(r, label=None) if fold < 0 else r for r, fold in zip(made.records, FOLDS, strict=True)]
    return replace(made, records=tuple(replace(r, group="g0") if k in (12, 13) else r for k, r in enumerate(bare)))


@pytest.fixture
def task(manifest, tmp_path) -> Task:
    return Task(manifest, FOLDS, 7, tmp_path / "run", silent)


def truth(manifest: Manifest) -> np.ndarray:
    return np.array([record.id.startswith("dark") for record in manifest.records]).astype(int)


def test_labelled_images_are_judged_and_all_are_named_rightly(task, manifest):
    trained = fixmatch.run(task, replace(CONFIG, epochs=15))
    assert_array_equal(np.isfinite(trained.probs).all(1), FOLDS == 0)
    known = np.flatnonzero(FOLDS == 0)
    assert_array_equal(trained.probs[known].argmax(1), truth(manifest)[known])
    assert_array_equal(trained.reference.argmax(1), truth(manifest))
    assert trained.temperature == 1.0
    assert_array_equal(trained.trained_on, np.arange(len(FOLDS)))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_images_of_a_held_out_group_are_not_learned_from(task, precision):
    trained = fixmatch.run(task, replace(CONFIG, epochs=1, final="reuse", precision=precision))
    assert not {12, 13} & set(trained.trained_on.tolist())
    assert set(trained.trained_on.tolist()) == set(np.flatnonzero(FOLDS != 0)) - {12, 13}


def test_an_interrupted_training_ends_with_the_same_bits(task, manifest, tmp_path):
    config = replace(CONFIG, epochs=3, final="reuse")
    whole = fixmatch.run(task, config)

    def interrupt(what: str, done: int, total: int) -> None:
        if what == "fold 0" and done > total * 0.7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fixmatch.run(replace(task, folder=tmp_path / "cut", progress=interrupt), config)
    again = fixmatch.run(replace(task, folder=tmp_path / "cut"), config)
    assert again.graph == whole.graph
    assert_array_equal(again.probs, whole.probs)


def test_no_image_without_label_is_refused(task, manifest):
    known = manifest.select(name for name, fold in zip(manifest.ids, FOLDS, strict=True) if fold >= 0)
    with pytest.raises(DataError, match=r"images without label .* found none among 12\. .* --recipe finetune"):
        fixmatch.run(replace(task, manifest=known, folds=FOLDS[FOLDS >= 0]), CONFIG)


def buffered(certainty: float, expected: list[float]) -> nn.Module:
    network = nn.Module()
    network.register_buffer("certainty", torch.tensor(certainty))
    network.register_buffer("expected", torch.tensor(expected))
    return network


def test_limits_follow_the_certainty_and_are_lower_for_classes_seldom_named():
    network = buffered(0.5, [0.5, 0.5])
    probs = torch.tensor([[0.9, 0.1], [0.7, 0.3]])
    limits = moved_limits(network, probs)
    certainty, expected = 0.97 * 0.5 + 0.03 * 0.8, 0.97 * 0.5 + 0.03 * np.array([0.8, 0.2])
    assert_allclose(limits, certainty * expected / expected.max(), rtol=1e-6)
    for _ in range(300):
        limits = moved_limits(network, probs)
    assert_allclose(limits, [0.8, 0.8 * 0.2 / 0.8], rtol=1e-3)


class Says(nn.Module):
    """Gives the same logits for every image."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, images):
        return self.logits.expand(len(images), -1)


@pytest.mark.parametrize(("teacher", "taken"), [((4.0, 0.0), True), ((0.01, 0.0), False)])
def test_only_what_the_teacher_is_sure_of_is_learned(task, teacher, taken):
    """The loss is the labelled images' cross-entropy, and that of the teacher's answer where it is sure."""
    setup = classifier._set_up(task, replace(CONFIG, label_smoothing=0.0), classifier.Start("small_cnn"), lesson_of)
    network = Says(1.0, 0.0)
    known, bare = np.flatnonzero(FOLDS >= 0), np.flatnonzero(FOLDS < 0)
    lesson = lesson_of(setup, network, known, bare, 0)
    network.certainty.fill_(0.9)
    batch = next(iter(lesson.batches(0)))
    assert lesson.steps == 3
    assert batch.weak.shape == batch.strong.shape == (8, 3, 32, 32)
    loss = lesson.loss(network, Says(*teacher), batch)
    each = -np.log(np.exp([1.0, 0.0]) / np.exp([1.0, 0.0]).sum())
    expected = each[batch.targets.numpy()].mean() + taken * each[0]
    assert_allclose(loss.item(), expected, rtol=1e-5)


def test_labelled_images_of_rare_classes_are_drawn_as_often(task):
    setup = classifier._set_up(task, CONFIG, classifier.Start("small_cnn"), lesson_of)
    targets = task.targets
    few = np.concatenate([np.flatnonzero(targets == 0), np.flatnonzero(targets == 1)[:1]])
    lesson = lesson_of(setup, Says(0.0, 0.0), few, np.flatnonzero(FOLDS < 0), 0)
    drawn = torch.cat([batch.targets for epoch in range(20) for batch in lesson.batches(epoch)])
    assert 0.4 < drawn.float().mean() < 0.6
