"""Cross-validation of a linear head on frozen features, with every choice made inside the training part.

For each fold held out, the candidates are compared on the next fold, trained on the rest, with a temperature
fitted there; the winner is trained again on all but the held-out fold. The held-out fold is looked at once.
Fewest errors win, then the smaller log-loss. Logistic regression, which takes longer by far, is tried only
where discriminant analysis leaves an error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from millscale.features.extract import Features, as_views
from millscale.learn.calibrate import calibrated, fit_temperature, log_loss
from millscale.learn.heads import LinearHead, Moments, fit_lda, fit_logistic, fold_moments
from millscale.learn.recipe import Progress

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SHRINKAGES = (0.01, 0.03, 0.1, 0.3)
STRENGTHS = (0.1, 1.0)
LOGISTIC_BUDGET = 32_000_000
"""Logistic regression holds all its features in memory; past this many numbers it is not considered."""


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
        logits: ``(N, C)`` before calibration.
        chosen: the candidate of each fold.
        head: trained on all images, with the candidate that did best over the inner comparisons.
        candidate: that candidate.
        temperature: of ``head``, fitted on ``logits``.
    """

    probs: Floats
    logits: Floats
    chosen: tuple[Candidate, ...]
    head: LinearHead
    candidate: Candidate
    temperature: float


class Score(NamedTuple):
    """How good a candidate is; the smaller the better, errors first."""

    errors: int
    log_loss: float
    temperature: float


class HeadSearch:
    """The folds' moments and features, from which heads are trained on any union of folds.

    Args:
        features: of N images.
        targets: ``(N,)`` class indices.
        folds: ``(N,)`` fold indices, 0 … K-1.
        classes: C.
        views: 1 trains on every view as a vector of its own and judges the image as it is;
            8 trains on and judges the mean of the views.
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
        chunks = (
            chunk if self.views == 1 else as_views(chunk, self.views)[:, None]
            for chunk in self.features.chunks()
        )
        return fold_moments(chunks, self.targets, self.folds, self.classes)

    @cached_property
    def _total(self) -> Moments:
        total = self._moments[0]
        for moments in self._moments[1:]:
            total = total + moments
        return total

    def train(self, candidate: Candidate, without: Sequence[int]) -> LinearHead:
        """The head trained on every fold but those in ``without``."""
        if candidate.kind == "lda":
            moments = self._total
            for fold in without:
                moments = moments - self._moments[fold]
            return fit_lda(moments, candidate.value)
        rows = np.flatnonzero(~np.isin(self.folds, without))
        vectors = self.features.rows(rows.tolist(), views=self.views)
        return fit_logistic(vectors, self.targets[rows], self.classes, candidate.value)

    def logits(self, head: LinearHead, fold: int) -> tuple[Ints, Floats]:
        """Positions of the fold's images and their ``(n, C)`` logits."""
        rows = np.flatnonzero(self.folds == fold)
        logits = [
            head.logits(self.features.rows(part.tolist(), views=self.views))
            for part in np.array_split(rows, max(1, len(rows) // 1024))
        ]
        return rows, np.concatenate(logits)

    def compare(self, held_out: int) -> dict[Candidate, Score]:
        """How each candidate does on the fold after ``held_out``, trained on the others."""
        inner = (held_out + 1) % len(self._moments)
        scores: dict[Candidate, Score] = {}
        for candidate in sorted(self.candidates, key=lambda c: c.kind == "logistic"):
            if candidate.kind == "logistic" and any(score.errors == 0 for score in scores.values()):
                break
            rows, logits = self.logits(self.train(candidate, (held_out, inner)), inner)
            scores[candidate] = _score(logits, self.targets[rows])
        return scores


def _score(logits: Floats, targets: Ints) -> Score:
    temperature = fit_temperature(logits, targets)
    errors = int((logits.argmax(1) != targets).sum())
    return Score(errors, log_loss(calibrated(logits, temperature), targets), temperature)


def _best_overall(scores: Sequence[dict[Candidate, Score]]) -> Candidate:
    """The best of the candidates that were tried for every fold."""
    everywhere = [candidate for candidate in scores[0] if all(candidate in found for found in scores)]
    return min(
        everywhere,
        key=lambda c: (sum(found[c].errors for found in scores), sum(found[c].log_loss for found in scores)),
    )


def cross_validate(search: HeadSearch, progress: Progress) -> CrossValidation:
    """Judge every image out of fold, then train the final head.

    Args:
        search: the data and the candidates; at least three folds.
        progress: called with (what, done, total).
    """
    count = int(search.folds.max()) + 1
    n = len(search.targets)
    probs, logits = np.zeros((n, search.classes)), np.zeros((n, search.classes))
    chosen, compared = [], []
    for fold in range(count):
        scores = search.compare(fold)
        best = min(scores, key=lambda candidate: scores[candidate])
        rows, found = search.logits(search.train(best, (fold,)), fold)
        logits[rows], probs[rows] = found, calibrated(found, scores[best].temperature)
        chosen.append(best)
        compared.append(scores)
        progress("folds", fold + 1, count)
    final = _best_overall(compared)
    head = search.train(final, ())
    temperature = fit_temperature(logits, search.targets)
    return CrossValidation(probs, logits, tuple(chosen), head, final, temperature)
