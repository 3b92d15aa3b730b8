"""Does a classifier know what it sees? The distance of an image's features from those it was trained on.

Softmax always names a class. The guard measures the relative Mahalanobis distance (Ren et al. 2021): how much farther
an image is from the nearest class than from metal in general. That is blind in directions in which the classes do not
differ, so that the plain distance has a limit too, the largest of any training image.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import ModelError
from millscale.core.types import Novelty
from millscale.runtime.card import OpenSet

Floats = NDArray[np.floating]
FILES = ("guard_means.npy", "guard_within.npy", "guard_total.npy")
"""Members of a bundle, in the order of `Guard`'s arrays."""


class Distances(NamedTuple):
    """``(n, C)`` relative and plain distances of images from each class."""

    relative: NDArray[np.float64]
    plain: NDArray[np.float64]


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

    def novelty(self, features: Floats, limits: Sequence[float], farthest: float) -> Novelty:
        """Of the features ``(d,)`` of one image.

        Args:
            features: as the classifier gives them.
            limits: of the relative distance from each class.
            farthest: limit of the plain distance from the nearest.

        Raises:
            ModelError: features of another length, or not finite.
        """
        if features.shape != self.means.shape[1:] or not np.isfinite(features).all():
            raise ModelError(
                f"Guard: expected {self.means.shape[1]} finite features, found {features.shape}. Train the bundle anew."
            )
        found = self.distances(features[None])
        return Novelty(float(ratios(found, limits, farthest)[0]), int((found.relative[0] / limits).argmin()))

    def members(self) -> dict[str, bytes]:
        """Its arrays as members of a bundle."""
        result = {}
        for name, array in zip(FILES, (self.means, self.within, self.total), strict=True):
            buffer = BytesIO()
            np.save(buffer, array, allow_pickle=False)
            result[name] = buffer.getvalue()
        return result


def ratios(distances: Distances, limits: Sequence[float] | Floats, farthest: float) -> NDArray[np.float64]:
    """``(n,)`` of each image, the larger of its two distances over their limits; more than 1 is unknown."""
    relative, plain = distances
    return np.asarray(np.maximum((relative / np.asarray(limits)).min(1), plain.min(1) / farthest))


def read_guard(members: Mapping[str, bytes], openset: OpenSet, classes: int) -> Guard:
    """The guard that a card describes.

    Raises:
        ModelError: its arrays are absent, not finite, or of shapes that do not go together.
    """
    means, within, total = arrays = [_array(members, name) for name in openset.files]
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
    return Guard(means, within, total)


def _squared(x: NDArray[np.float64], metric: Floats) -> NDArray[np.float64]:
    wide = np.asarray(metric, np.float64)
    return np.asarray(np.maximum(((x * wide[:, 0]) ** 2).sum(1) - ((x @ wide[:, 1:]) ** 2).sum(1), 0.0))


def _array(members: Mapping[str, bytes], name: str) -> Floats:
    try:
        return np.asarray(np.load(BytesIO(members[name]), allow_pickle=False))
    except (KeyError, ValueError, OSError, EOFError, SyntaxError, MemoryError) as error:
        raise ModelError(
            f"Guard: expected {name} as a plain NumPy array, found none ({error}). Copy the bundle again."
        ) from error
