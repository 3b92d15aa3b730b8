"""Which images to ask a person about: those whose label would reach most images that no label explains yet.

A label reaches the images that a diffusion over the graph of look-alikes takes it to. An image is worth asking about by
how much further it would reach than the labels there are, and counts most where the model is in doubt. Without any
label that is typicality (TypiClust, Hacohen et al. 2022; ProbCover, Yehuda et al. 2022), with labels the margin, and
what was already chosen covers its surroundings: diversity. The greedy choice is within 1 - 1/e of the best one
(facility location, Nemhauser et al. 1978).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.sparse import csr_array

from millscale.learn.neighbour_graph import neighbour_graph, whitened

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

MOST = 4000
"""Images that are weighed against one another; the work grows with the cube of their number."""
_REACH = 0.95
_SETTLED = 0.1
"""What an image counts that the model is sure of: it may be sure and wrong."""
_TYPICAL = 10
"""With fewer labels a model does not know all classes yet, and what it doubts says little."""
_FEWEST = 3
"""Of fewer images none is like another."""
_DIMENSIONS, _NEIGHBOURS, _WHITENING = 64, 15, 0.25


@dataclass(frozen=True, eq=False)
class Choice:
    """Images to ask about, the most useful first.

    Attributes:
        rows: ``(k,)`` their indices.
        stands_for: ``(k,)`` images that its label reaches, and farther than any other that is given or asked for.
    """

    rows: Ints
    stands_for: Ints


def influence(graph: csr_array, reach: float = _REACH) -> Floats:
    """How far each image's label reaches into each other image, 1 into itself.

    The kernel ``(I - reach S)^-1`` of label spreading (Zhou et al. 2004), scaled to a diagonal of ones.

    Args:
        graph: ``(n, n)`` S of `neighbour_graph`.
        reach: in (0, 1).

    Returns:
        ``(n, n)``, symmetric, in [0, 1].
    """
    system = np.eye(graph.shape[0], dtype=np.float32) - np.float32(reach) * graph.toarray().astype(np.float32)
    factor, _ = lapack.spotrf(system, lower=True)
    half = np.tril(lapack.spotri(factor, lower=True)[0])
    scale = 1.0 / np.sqrt(np.diag(half))
    half *= scale[:, None]
    half *= scale
    return np.asarray(np.clip(half + np.tril(half, -1).T, 0.0, 1.0))


def choose(
    reaches: Floats, groups: Ints, labelled: NDArray[np.bool_], doubt: NDArray[np.floating], count: int
) -> Choice:
    """Choose up to ``count`` images, one a group and none of a group that has a label.

    Args:
        reaches: ``(n, n)`` of `influence`.
        groups: ``(n,)``; images of a group show the same surface.
        labelled: ``(n,)``.
        doubt: ``(n,)`` in [0, 1], how unsure the model is of each image; ones where there is no model.
        count: how many to choose.
    """
    weight = np.asarray(_SETTLED + doubt, np.float32)
    covered = reaches[labelled].max(0, initial=0.0)
    free = ~np.isin(groups, groups[labelled])
    rows: list[int] = []
    while len(rows) < count and free.any():
        open_rows = np.flatnonzero(free)
        gain = np.maximum(reaches[open_rows] - covered, 0.0) @ weight
        best = int(open_rows[gain.argmax()])
        rows.append(best)
        covered = np.maximum(covered, reaches[best])
        free &= groups != groups[best]
    known = np.concatenate([np.array(rows, np.int64), np.flatnonzero(labelled)])
    owner = reaches[known].argmax(0)[reaches[known].max(0) > 0] if len(known) else np.zeros(0, np.int64)
    return Choice(np.array(rows, np.int64), np.bincount(owner, minlength=len(rows))[: len(rows)])


def next_to_label(
    vectors: NDArray[np.float32],
    groups: Ints,
    labelled: NDArray[np.bool_],
    doubt: NDArray[np.floating],
    count: int,
    *,
    most: int = MOST,
) -> Choice:
    """`choose` over the look-alikes of these features.

    Of more than ``most`` images the choice is among an even sample along their first principal component. Doubt does
    not count while there are fewer than ten labels.

    Args:
        vectors: ``(n, d)`` features.
        groups: ``(n,)``.
        labelled: ``(n,)``.
        doubt: ``(n,)``, see `choose`.
        count: how many to choose.
        most: images that are weighed against one another.
    """
    # Two that are like each other alone reach equally far: the order of the images must not decide, nor how sums round.
    order = np.argsort(vectors.sum(1), kind="stable")
    kept = order[_sample(vectors[order], groups[order], labelled[order], most)]
    if len(kept) < _FEWEST:
        reaches = np.eye(len(kept), dtype=np.float32)
    else:
        reaches = influence(neighbour_graph(whitened(vectors[kept], _DIMENSIONS, _WHITENING), _NEIGHBOURS))
    weight = doubt if labelled.sum() >= _TYPICAL else np.ones(len(doubt))
    found = choose(reaches, groups[kept], labelled[kept], weight[kept], count)
    share = len(vectors) / len(kept)
    return Choice(kept[found.rows], np.rint(found.stands_for * share).astype(np.int64))


def _sample(vectors: NDArray[np.float32], groups: Ints, labelled: NDArray[np.bool_], most: int) -> Ints:
    """All rows, or of too many those that can be asked about and those that are labelled, both thinned evenly."""
    if len(vectors) <= most:
        return np.arange(len(vectors))
    order = np.argsort(whitened(vectors, 2, 0.0)[:, 0], kind="stable")
    known = _evenly(order[labelled[order]], most // 2)
    askable = ~np.isin(groups, groups[labelled])
    return np.sort(np.concatenate([known, _evenly(order[askable[order]], most - len(known))]))


def _evenly(rows: Ints, most: int) -> Ints:
    return rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(np.int64)]


def margin_doubt(probs: NDArray[np.floating]) -> NDArray[np.float64]:
    """One less the margin between the two most probable classes (Scheffer et al. 2001).

    Args:
        probs: ``(n, C)``, C at least 2.
    """
    top = np.sort(probs, axis=1)[:, -2:]
    return np.asarray(1.0 - (top[:, 1] - top[:, 0]), np.float64)
