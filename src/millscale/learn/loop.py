"""Cross-validation of a linear head on frozen features, with every choice made inside the training part.

Nested: for each fold held out, the candidates are compared over the other folds, each judged by heads that saw
neither it nor the held-out fold. Fewest errors win, then the smaller log-loss. The winner is trained again on all
but the held-out fold, and its scores become probabilities by a temperature fitted on the scores by which it was
chosen. A held-out fold is looked at once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from millscale.features.extract import Features, averaged
from millscale.learn.calibrate import calibrated, fit_temperature, log_loss
from millscale.learn.heads import LinearHead, Moments, fit_lda, fit_logistic, fold_moments
from millscale.learn.recipe import Progress

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SHRINKAGES = (0.01, 0.03, 0.1)
STRENGTHS = (0.1, 1.0)
LOGISTIC_BUDGET = 1_000_000
"""Logistic regression takes a hundred times longer than discriminant analysis and holds its features in memory:
past this many numbers (images times dimensions) it is used only where asked for."""


@dataclass(frozen=True)
class Candidate:
    """A kind of head with its one hyper-parameter: shrinkage for lda, C for logistic."""

    kind: Literal["lda", "logistic"]
    value: float


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """Every image judged by a head that saw nothing of its group.

    Attributes:
        probs: ``(N, C)`` calibrated inside each training part.
        chosen: the candidate of each fold.
        head: trained on all images, with the candidate that did best out of fold.
        candidate: that candidate.
        temperature: of ``head``, fitted on the out-of-fold scores.
    """

    probs: Floats
    chosen: tuple[Candidate, ...]
    head: LinearHead
    candidate: Candidate
    temperature: float


class HeadSearch:
    """The folds' moments and features, from which heads are trained on any union of folds.

    Args:
        features: of N images.
        targets: ``(N,)`` class indices.
        folds: ``(N,)`` fold indices, 0 … K-1.
        classes: C.
        views: how many dihedral views are averaged into one vector, 1, 2, 4 or 8. Discriminant analysis learns
            from all 8 / views vectors of an image, logistic regression from the first, which is the one judged.
        candidates: what to choose from.
    """

    def __init__(
        self,
        features: Features,
        targets: Ints,
        folds: Ints,
        classes: int,
        *,
        views: int,
        candidates: Sequence[Candidate],
    ) -> None:
        self.features, self.targets, self.folds, self.classes = features, targets, folds, classes
        self.views, self.candidates = views, tuple(candidates)

    @cached_property
    def _moments(self) -> list[Moments]:
        chunks = (averaged(chunk, self.views) for chunk in self.features.chunks())
        return fold_moments(chunks, self.targets, self.folds, self.classes)

    @cached_property
    def _total(self) -> Moments:
        total = self._moments[0]
        for moments in self._moments[1:]:
            total = total + moments
        return total

    def moments(self, without: Sequence[int]) -> Moments:
        """Those of every fold but those in ``without``."""
        moments = self._total
        for fold in without:
            moments = moments - self._moments[fold]
        return moments

    def train(self, candidate: Candidate, without: Sequence[int]) -> LinearHead:
        """The head trained on every fold but those in ``without``."""
        if candidate.kind == "lda":
            return fit_lda(self.moments(without), candidate.value)
        rows = np.flatnonzero(~np.isin(self.folds, without))
        vectors = self.features.rows(rows.tolist(), views=self.views)
        return fit_logistic(vectors, self.targets[rows], self.classes, candidate.value)

    def logits(self, head: LinearHead, fold: int) -> Floats:
        """The head's ``(n, C)`` logits of the fold's images."""
        rows = np.flatnonzero(self.folds == fold)
        parts = np.array_split(rows, max(1, len(rows) // 1024))
        return np.concatenate([head.logits(self.features.rows(part.tolist(), views=self.views)) for part in parts])


class Score(NamedTuple):
    """How good a candidate is; the smaller the better, errors first."""

    errors: int
    log_loss: float


def _score(logits: Floats, targets: Ints) -> Score:
    probs = calibrated(logits, fit_temperature(logits, targets))
    return Score(int((logits.argmax(1) != targets).sum()), log_loss(probs, targets))


@dataclass(frozen=True, eq=False)
class _Evidence:
    """One candidate's held-out scores.

    Attributes:
        outer: ``(N, C)`` logits of each image by the head that saw all folds but the image's.
        inner: ``(K, N, C)``: for each held-out fold, logits of the images outside it by heads that saw neither it
            nor the image's own fold.
    """

    outer: Floats
    inner: Floats


def _gather(search: HeadSearch, candidate: Candidate, count: int, step: Callable[[], None]) -> _Evidence:
    n = len(search.targets)
    evidence = _Evidence(np.zeros((n, search.classes)), np.zeros((count, n, search.classes)))
    for fold in range(count):
        evidence.outer[search.folds == fold] = search.logits(search.train(candidate, (fold,)), fold)
        step()
        for other in range(fold):
            head = search.train(candidate, (fold, other))
            evidence.inner[fold, search.folds == other] = search.logits(head, other)
            evidence.inner[other, search.folds == fold] = search.logits(head, fold)
            step()
    return evidence


def cross_validate(search: HeadSearch, progress: Progress) -> CrossValidation:
    """Judge every image out of fold, then train the final head.

    Args:
        search: the data and the candidates; at least three folds.
        progress: called with (what, done, total).
    """
    count, targets = int(search.folds.max()) + 1, search.targets
    total = len(search.candidates) * count * (count + 1) // 2
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        progress("heads", done, total)

    found = {candidate: _gather(search, candidate, count, step) for candidate in search.candidates}
    probs, chosen = np.zeros((len(targets), search.classes)), []
    for fold in range(count):
        held, rest = search.folds == fold, search.folds != fold
        best = min(found, key=lambda c: _score(found[c].inner[fold][rest], targets[rest]))
        # Not on `outer`: the heads of the other folds have learned from this fold's labels.
        temperature = fit_temperature(found[best].inner[fold][rest], targets[rest])
        probs[held] = calibrated(found[best].outer[held], temperature)
        chosen.append(best)
    final = min(found, key=lambda c: _score(found[c].outer, targets))
    temperature = fit_temperature(found[final].outer, targets)
    return CrossValidation(probs, tuple(chosen), search.train(final, ()), final, temperature)
