"""Labels for the images that have none, each with its confidence."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from millscale.learn.calibrate import calibrated, fit_temperature
from millscale.learn.few_labels import Surroundings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Suggestions:
    """What unlabelled images probably show.

    Attributes:
        probs: ``(n, C)``, calibrated where labels could be hidden.
        judged: how many labels were hidden and suggested anew.
        wrong: how many of them came out otherwise.
    """

    probs: Floats
    judged: int
    wrong: int


def suggestions(surroundings: Surroundings, targets: Ints, folds: Ints, classes: int) -> Suggestions:
    """Spread the labels; how sure to be is learnt by hiding each fold of them and spreading the rest.

    Args:
        surroundings: of n images.
        targets: ``(n,)`` class indices, -1 where unlabelled; every class has a label.
        folds: ``(n,)`` of each label, groups being whole; anything where unlabelled.
        classes: C.
    """
    logits, hidden = np.full((len(targets), classes), np.nan), np.zeros(len(targets), np.bool_)
    for fold in np.unique(folds[targets >= 0]):
        rest = np.where(folds == fold, -1, targets)
        own = (targets >= 0) & (folds == fold) & np.isin(targets, rest[rest >= 0])
        if own.any() and len(np.unique(rest[rest >= 0])) > 1:
            logits[own] = np.log(surroundings.learn(rest, classes).probs[own])
            logits[np.ix_(own, ~np.isin(np.arange(classes), rest))] = -np.inf  # it had no label left to spread
            hidden |= own
    probs = surroundings.learn(targets, classes).probs
    if hidden.any():
        probs = calibrated(np.log(probs), fit_temperature(logits[hidden], targets[hidden]))
    wrong = int((logits[hidden].argmax(1) != targets[hidden]).sum())
    return Suggestions(probs, int(hidden.sum()), wrong)
