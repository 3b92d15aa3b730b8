"""Does a classifier know what it sees? The distance of an image's features from those it was trained on.

Softmax always names a class. The guard measures the relative Mahalanobis distance (Ren et al. 2021): how much farther
an image is from the nearest class than from metal in general; more so where softmax is in doubt. That is blind in
directions in which the classes do not differ, so that the plain distance has a limit too, the largest of any training
image.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import ModelError
from millscale.core.types import Novelty
from millscale.runtime.arrays import npy, read_array
from millscale.runtime.card import Card, OpenSet

Floats = NDArray[np.floating]
FILES = ("guard_means.npy", "guard_within.npy", "guard_total.npy")
"""Members of a bundle, in the order of `Guard`'s arrays."""


class Distances(NamedTuple):
    """``(n, C)`` relative and plain distances of images from each class."""

    relative: NDArray[np.float64]
    plain: NDArray[np.float64]

    def rows(self, chosen: NDArray[np.bool_]) -> "Distances":
        """Those of some images."""
        return Distances(self.relative[chosen], self.plain[chosen])


@dataclass(frozen=True, eq=False)
class Limits:
    """Where the known ends.

    Attributes:
        relative: ``(C,)`` of the relative distance from each class.
        farthest: of the plain distance from the nearest class.
        usual: doubt of the usual image, see `doubts`.
        power: by how much more doubt than usual makes an image farther.
    """

    relative: NDArray[np.float64]
    farthest: float
    usual: float
    power: float

    @classmethod
    def of(cls, card: Card) -> "Limits":
        """Those of a card that has a guard."""
        assert card.openset is not None  # noqa: S101 - the caller has looked
        openset = card.openset
        relative = np.array([openset.limits[name] for name in card.classes])
        return cls(relative, openset.farthest, openset.usual_doubt, openset.power)


@dataclass(frozen=True, eq=False)
class Guard:
    """Two metrics of feature space, low rank so that they stay small.

    A metric ``M`` measures ``|x|² = sum((x · M[:, 0])²) - sum((x @ M[:, 1:])²)``: every direction at the scale of the
    small ones, less what that overstates the leading ones by.

    Attributes:
        means: ``(1 + C, d)``: of all training images, then of each class; NaN of a class without any.
        within: ``(d, 1 + r)``, the metric of the spread within the classes.
        total: ``(d, 1 + r)``, the metric of the spread of all images.
    """

    means: Floats
    within: Floats
    total: Floats

    def distances(self, features: Floats) -> Distances:
        """How far images ``(n, d)`` are from each class; infinitely far from one without images."""
        x, means = np.asarray(features, np.float64), np.asarray(self.means, np.float64)
        plain = np.stack([_squared(x - mean, self.within) for mean in means[1:]], 1)
        plain[:, np.isnan(means[1:]).any(1)] = np.inf
        relative = np.maximum(plain - _squared(x - means[0], self.total)[:, None], 0.0)
        return Distances(np.sqrt(relative), np.sqrt(plain))

    def novelty(self, features: Floats, probs: Floats, limits: Limits) -> Novelty:
        """Of one image.

        Args:
            features: ``(d,)`` as the classifier gives them.
            probs: ``(C,)`` likewise.
            limits: of this guard.

        Raises:
            ModelError: features of another length, or not finite.
        """
        if features.shape != self.means.shape[1:] or not np.isfinite(features).all():
            raise ModelError(
                f"Guard: expected {self.means.shape[1]} finite features, found {features.shape}. Train the bundle anew."
            )
        found = self.distances(features[None])
        nearest = int((found.relative[0] / limits.relative).argmin())
        return Novelty(float(ratios(found, probs[None], limits)[0]), nearest)

    def members(self) -> dict[str, bytes]:
        """Its arrays as members of a bundle."""
        return {name: npy(array) for name, array in zip(FILES, (self.means, self.within, self.total), strict=True)}


def doubts(probs: Floats) -> NDArray[np.float64]:
    """``(n,)`` the logarithm of what ``(n, C)`` probabilities leave to all classes but the first."""
    others = np.sort(np.asarray(probs, np.float64), axis=1)[:, :-1].sum(1)
    return np.asarray(np.log(np.maximum(others, 1e-30)))


def ratios(distances: Distances, probs: Floats, limits: Limits) -> NDArray[np.float64]:
    """``(n,)`` of each image, its relative distance over its limit; beyond its limit, the plain distance if it is more.

    Doubt makes an image farther, as in ViM (Wang et al. 2022) and NNGuide (Park et al. 2023); but to be sure makes it
    no nearer, for softmax is surest of the farthest.
    """
    raised = np.exp(limits.power * np.maximum(doubts(probs) - limits.usual, 0.0))
    near = (distances.relative / limits.relative).min(1) * raised
    plain = distances.plain.min(1) / limits.farthest
    return np.asarray(np.where(plain > 1, np.maximum(near, plain), near))


def read_guard(members: Mapping[str, bytes], openset: OpenSet, classes: int) -> Guard:
    """The guard that a card describes.

    Raises:
        ModelError: its arrays are absent, not finite, or of shapes that do not go together.
    """
    means, within, total = arrays = [read_array(members, name) for name in openset.files]
    wanted = {"float16", "float32"}
    if (
        any(array.dtype.name not in wanted or array.ndim != 2 or not np.isfinite(array).all() for array in arrays)
        or len(means) != 1 + classes
        or within.shape != total.shape
        or len(within) != means.shape[1]
        or 0 in within.shape
    ):
        found = ", ".join(f"{array.dtype.name} {array.shape}" for array in arrays)
        raise ModelError(
            f"Guard: expected finite float arrays ({1 + classes}, d), (d, 1 + r) and (d, 1 + r), found {found}. "
            "Copy the bundle again, or train it anew."
        )
    return Guard(*(array.astype(np.float64) for array in arrays))  # once, not at every image


def _squared(x: NDArray[np.float64], metric: Floats) -> NDArray[np.float64]:
    wide = metric.astype(np.float64, copy=False)
    return np.asarray(np.maximum(((x * wide[:, 0]) ** 2).sum(1) - ((x @ wide[:, 1:]) ** 2).sum(1), 0.0))
