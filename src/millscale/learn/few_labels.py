"""A linear head from few labels and many unlabelled images: labels spread, a head learns them, and both agree.

Labels spread over two graphs of the features. Of each class the most confident four fifths teach a head, together with
the true labels, which together count twice as much. What the head says is smoothed over the graph and teaches the next
head. Three rounds.

Pseudo-labels: Lee 2013; the same share of every class, so that a hard class is not starved: class-balanced
self-training, Zou et al. 2018.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from millscale.learn.calibrate import calibrated
from millscale.learn.heads import LinearHead, Moments, fit_lda, fold_moments
from millscale.learn.neighbour_graph import neighbour_graph, whitened
from millscale.learn.propagate import one_hot, shares, smooth, spread

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

UNSURE = 4.0
"""Temperature of a head that nothing calibrates: discriminant analysis in hundreds of dimensions is too sure."""
_ROUNDS = 3
_SHRINKAGE = 0.3
_TAUGHT = 0.8
_TRUST = 0.5
"""What all pseudo-labels together weigh, in multiples of all labels."""
_DIMENSIONS, _NEIGHBOURS = 64, 15
_WHITENING = (0.5, 0.25)


@dataclass(frozen=True, eq=False)
class FewLabels:
    """What labels and unlabelled images teach together.

    Attributes:
        head: linear, for images not seen.
        probs: ``(n, C)`` of the images seen.
        first: ``(n, C)`` the labels as spread before any head.
        moments: by which the head was fitted.
    """

    head: LinearHead
    probs: Floats
    first: Floats
    moments: Moments


class Surroundings:
    """Images with the graphs over them, on which several sets of labels can be tried.

    Args:
        vectors: ``(n, v, d)`` v feature vectors of each image, such as those of its views.
    """

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self.vectors = vectors
        means = vectors.mean(1)
        self.graphs: tuple[csr_array, ...] = tuple(
            neighbour_graph(whitened(means, _DIMENSIONS, power), _NEIGHBOURS) for power in _WHITENING
        )

    def learn(self, targets: Ints, classes: int) -> FewLabels:
        """Spread these labels and fit the head.

        Args:
            targets: ``(n,)`` class indices, -1 where unlabelled; at least two classes have a label.
            classes: C.
        """
        known = targets >= 0
        truth = one_hot(targets, classes)
        logs = [np.log(spread(graph, targets, classes)) for graph in self.graphs]
        first = shares(np.exp(np.mean(logs, axis=0)))
        probs = first.copy()
        for _ in range(_ROUNDS):
            probs[known] = truth[known]
            moments = self._moments(known, probs)
            head = fit_lda(moments, _SHRINKAGE)
            said = calibrated(head.logits(self.vectors[:, 0]), UNSURE)
            said[known] = truth[known]
            probs = smooth(self.graphs[0], said)
        return FewLabels(head, probs, first, moments)

    def _moments(self, known: NDArray[np.bool_], probs: Floats) -> Moments:
        """Those of the labelled images and, weighed, of the surest others."""
        called = probs.argmax(1)
        taught = ~known & _surest(probs, called)
        rows = known | taught
        found = fold_moments([self.vectors[rows]], called[rows], taught[rows].astype(np.int64), probs.shape[1])
        labels, *pseudo = found
        return sum((more.weighted(_TRUST * labels.count.sum() / more.count.sum()) for more in pseudo), start=labels)


def _surest(probs: Floats, pseudo: Ints) -> NDArray[np.bool_]:
    """The most confident four fifths of each class."""
    sure = probs.max(1)
    chosen = np.zeros(len(probs), np.bool_)
    for c in np.unique(pseudo):
        rows = np.flatnonzero(pseudo == c)
        chosen[rows[np.argsort(-sure[rows], kind="stable")[: int(np.ceil(_TAUGHT * len(rows)))]]] = True
    return chosen
