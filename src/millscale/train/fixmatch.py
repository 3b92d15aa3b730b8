"""Fine-tune on few labels: what the moving average is sure of in a weak view is the label of a strong one.

Sohn et al. 2020, FixMatch, with the limits of Wang et al. 2023, FreeMatch, which follow what the network has learned
of each class, and with the average of the weights as teacher (Tarvainen and Valpola 2017).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from millscale.core.errors import DataError
from millscale.learn.recipe import Task, Trained
from millscale.train.augment import AugmentConfig, augment, of_strength
from millscale.train.classifier import (
    Lesson,
    Rows,
    Setup,
    Start,
    from_labelled,
    normalised,
    supervised_loss,
    train_classifier,
)
from millscale.train.config import FixmatchConfig
from millscale.train.network import Classifier

_MEMORY = 0.97
"""Decay a step of what the limits are made of: they follow some thirty batches."""


def train_fixmatch(task: Task, config: FixmatchConfig) -> Trained:
    """Judge on held-out labelled folds, train the final network, and write it as a graph; as ``train_classifier``.

    No image that shares a group with a fold held out has a part in the network that is judged on it.

    Raises:
        DataError: no image without label; else as ``train_classifier``.
    """
    if not (task.folds < 0).any():
        raise DataError(
            f"Expected images without label to learn from, found none among {len(task.folds)}. "
            "Add such images, or use --recipe finetune."
        )
    return train_classifier(task, config, Start(config.network, config.frozen, config.head_first), lesson_of)


class _Batch(NamedTuple):
    """Normalised images ``(b, 3, h, w)`` with targets ``(b,)``, and two views of others."""

    images: Tensor
    targets: Tensor
    weak: Tensor
    strong: Tensor


def lesson_of(setup: Setup, model: Classifier, learned: Rows, bare: Rows, seed: int) -> Lesson:
    """Labelled images, and images without label as the moving average names them."""
    if not len(bare):
        return from_labelled(setup, model, learned, bare, seed)
    classes = len(setup.task.manifest.classes)
    config = setup.config
    assert isinstance(config, FixmatchConfig)  # noqa: S101 - train_fixmatch gives one
    weight = config.weight
    # With the weights in the checkpoint, so that a resumed training goes on with the same limits. The paper starts at
    # 1 / C; from 1, nothing is believed before labels have been learned from: few steps cannot undo a bad start.
    model.register_buffer("certainty", torch.tensor(1.0, device=setup.device))
    model.register_buffer("expected", torch.full((classes,), 1 / classes, device=setup.device))
    size = min(config.batch * config.unlabelled, len(bare))

    def loss(network: nn.Module, average: nn.Module, batch: _Batch) -> Tensor:
        with torch.no_grad():
            probs = average(batch.weak).float().softmax(1)  # in bfloat16, where layers compute so, limits hardly move
            sure, named = probs.max(1)
            taken = sure >= moved_limits(network, probs)[named]
        logits = network(torch.cat([batch.images, batch.strong]))
        known, guessed = logits[: len(batch.images)], logits[len(batch.images) :]
        unknown: Tensor = functional.cross_entropy(guessed, named, reduction="none") * taken
        return supervised_loss(setup, known, batch.targets) + weight * unknown.mean()

    return Lesson(len(bare) // size, lambda epoch: _batches(setup, learned, bare, size, (seed, epoch)), loss)


def moved_limits(network: nn.Module, probs: Tensor) -> Tensor:
    """The probability ``(C,)`` from which an image counts as of a class, after a batch of teachings ``(n, C)``.

    FreeMatch, equations 5 to 8: the average certainty, lower for classes that are named seldom.
    """
    certainty: Tensor = network.get_buffer("certainty")
    expected: Tensor = network.get_buffer("expected")
    certainty.lerp_(probs.max(1).values.mean(), 1 - _MEMORY)
    expected.lerp_(probs.mean(0), 1 - _MEMORY)
    limits: Tensor = certainty * expected / expected.max()
    return limits


def _batches(setup: Setup, learned: Rows, bare: Rows, size: int, seed: tuple[int, int]) -> Iterator[_Batch]:
    """A pass over the images without label; each step draws labelled ones, every class as often."""
    config, rng = setup.config, np.random.default_rng(seed)
    assert isinstance(config, FixmatchConfig)  # noqa: S101 - train_fixmatch gives one
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    usual, weak, strong = (of_strength(strength) for strength in (config.augment, config.weak, config.strong))
    counts = np.bincount(setup.targets[learned])[setup.targets[learned]]
    chance = 1 / counts / (1 / counts).sum()

    def view(rows: Rows, changes: AugmentConfig) -> Tensor:
        images = torch.from_numpy(setup.pixels[rows]).to(setup.device).permute(0, 3, 1, 2).float() / 255
        return normalised(augment(images, changes, generator), setup.preprocess)

    for others in rng.permutation(bare)[: len(bare) // size * size].reshape(-1, size):
        rows = rng.choice(learned, config.batch, p=chance)
        targets = torch.from_numpy(setup.targets[rows]).to(setup.device)
        yield _Batch(view(rows, usual), targets, view(others, weak), view(others, strong))
