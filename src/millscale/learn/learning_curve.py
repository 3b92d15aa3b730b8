"""How accuracy grows with the number of labels, measured by hiding the others of a labelled data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import DataError
from millscale.learn.few_labels import Surroundings
from millscale.learn.heads import fit_logistic
from millscale.learn.recipe import Progress

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class CurvePoint:
    """Accuracies with so many labels of each class.

    Attributes:
        labels: of each class.
        spread: ``(draws,)`` of suggestions for the unlabelled images that share a group with no labelled one.
        head: ``(draws,)`` of the head that they teach, on images held out.
        alone: ``(draws,)`` of a logistic head taught by the labels alone, on the same images.
    """

    labels: int
    spread: Floats
    head: Floats
    alone: Floats


def learning_curve(
    vectors: NDArray[np.float32],
    targets: Ints,
    groups: Ints,
    folds: Ints,
    counts: Sequence[int],
    *,
    draws: int,
    seed: int,
    progress: Progress,
) -> list[CurvePoint]:
    """Draw labels again and again, and judge what they teach.

    Args:
        vectors: ``(n, v, d)`` features of the images.
        targets: ``(n,)`` class indices, every one known.
        groups: ``(n,)`` of images that share pixels.
        folds: ``(n,)``, groups being whole; draw k holds out fold ``k % folds``, whose images nothing learns from.
        counts: labels of each class; the sizes to try.
        draws: of each size.
        seed: of the draws.
        progress: called with (what, done, total).

    Raises:
        DataError: a class has too few images outside a fold for the largest size.
    """
    classes, number = int(targets.max()) + 1, int(folds.max()) + 1
    _require_enough(targets, folds, max(counts))
    everything = Surroundings(vectors)
    outside = cache(lambda fold: Surroundings(vectors[folds != fold]))  # the graphs are the costly part
    points = []
    for size, labels in enumerate(counts):
        found = np.zeros((3, draws))
        for draw in range(draws):
            rng = np.random.default_rng([seed, labels, draw])
            chosen = _drawn(targets, np.arange(len(targets)), labels, rng)
            probs = everything.learn(_hidden(targets, chosen), classes).probs
            tested = ~np.isin(groups, groups[chosen])
            found[0, draw] = (probs.argmax(1) == targets)[tested].mean() if tested.any() else np.nan
            held = folds == draw % number
            chosen = _drawn(targets, np.flatnonzero(~held), labels, rng)
            head = outside(draw % number).learn(_hidden(targets, chosen)[~held], classes).head
            alone = fit_logistic(vectors[chosen, 0], targets[chosen], classes, 1.0)
            judged, truth = vectors[held, 0], targets[held]
            found[1:, draw] = [(each.logits(judged).argmax(1) == truth).mean() for each in (head, alone)]
            progress("draws of labels", size * draws + draw + 1, len(counts) * draws)
        points.append(CurvePoint(labels, *found))
    return points


def _require_enough(targets: Ints, folds: Ints, most: int) -> None:
    for fold in np.unique(folds):
        fewest = int(np.bincount(targets[folds != fold], minlength=int(targets.max()) + 1).min())
        if fewest <= most:
            raise DataError(
                f"Expected more than {most} images of each class outside every fold, found {fewest}. Ask for fewer "
                "labels of each class."
            )


def _drawn(targets: Ints, rows: Ints, labels: int, rng: np.random.Generator) -> Ints:
    """So many rows of each class."""
    return np.concatenate([rng.choice(rows[targets[rows] == c], labels, replace=False) for c in np.unique(targets)])


def _hidden(targets: Ints, chosen: Ints) -> Ints:
    """The targets, -1 but for the chosen rows."""
    few = np.full(len(targets), -1, np.int64)
    few[chosen] = targets[chosen]
    return few
