"""Spread a few labels over a graph of images that look alike."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, eye_array
from scipy.sparse.linalg import cg

Floats = NDArray[np.float64]
REACH = 0.99
"""How much of an image's label comes from its neighbours; the rest is its own."""


def spread(graph: csr_array, targets: NDArray[np.int64], classes: int, reach: float = REACH) -> Floats:
    """Label spreading (Zhou et al. 2004): the solution of ``(I - reach S) F = Y``.

    Each class starts with the same mass, however many labels it has. A class that ends up with more than its share is
    drawn back half the way (class mass normalisation, Zhu et al. 2003): nobody knows how frequent the classes are.

    Args:
        graph: ``(n, n)`` S of `neighbour_graph`.
        targets: ``(n,)`` class indices, -1 where unlabelled; a class without label gets nothing.
        classes: C.
        reach: in (0, 1).

    Returns:
        ``(n, C)`` probabilities.
    """
    seeds = one_hot(targets, classes)
    seeds /= np.maximum(seeds.sum(0), 1.0)
    system = eye_array(len(targets), format="csr") - reach * graph
    mass = np.column_stack([cg(system, seed, rtol=1e-6, maxiter=1000)[0] for seed in seeds.T])
    probs = shares(np.maximum(mass, 1e-12))
    return shares(probs / np.sqrt(probs.mean(0)))


def smooth(graph: csr_array, probs: Floats, reach: float = 0.8, steps: int = 30) -> Floats:
    """What the neighbours say corrects what a classifier said (Huang et al. 2021, equation 3).

    Args:
        graph: ``(n, n)`` S of `neighbour_graph`.
        probs: ``(n, C)``.
        reach: how much comes from the neighbours.
        steps: of the iteration.

    Returns:
        ``(n, C)`` probabilities.
    """
    result = probs
    for _ in range(steps):
        result = reach * (graph @ result) + (1.0 - reach) * probs
    return shares(np.maximum(result, 1e-12))


def one_hot(targets: NDArray[np.int64], classes: int) -> Floats:
    """``(n, C)``, a row of zeros where the target is -1."""
    return np.asarray(targets[:, None] == np.arange(classes), np.float64)


def shares(mass: Floats) -> Floats:
    """Rows divided by their sums."""
    return np.asarray(mass / mass.sum(1, keepdims=True))
