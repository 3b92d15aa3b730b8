"""Does a classifier know what it sees? The distance of an image's features from those it was trained on.

Softmax always names a class. The guard measures the relative Mahalanobis distance (Ren et al. 2021): how much farther
an image is from the nearest class than from metal in general. That is blind in directions in which the classes do not
differ, so that the plain distance has a limit too, the largest of any training image.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import ModelError
from millscale.core.types import Novelty
from millscale.runtime.card import OpenSet

Floats = NDArray[np.floating]
FILES = ("guard_means.npy", "guard_within.npy", "guard_total.npy")
"""Members of a bundle, in the order of `Guard`'s arrays."""


@dataclass(frozen=True, eq=False)
class Guard:
    """Two metrics of feature space, low rank so that they stay small.

    A metric ``M`` measures ``|x|² = sum((x · M[:, 0])²) - sum((x @ M[:, 1:])²)``: every direction at the scale of the
    small ones, less what that overstates the leading ones by.

    Attributes:
        means: ``(1 + C, d)``: of all training images, then of each class.
        within: ``(d, 1 + r)``, the metric of the spread within the classes.
        total: ``(d, 1 + r)``, the metric of the spread of all images.
        limits: of the relative and of the plain distance.
    """

    means: Floats
    within: Floats
    total: Floats
    limits: tuple[float, float] = (1.0, 1.0)

    def distances(self, features: Floats) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """How far images are from all that is known.

        Args:
            features: ``(n, d)``.

        Returns:
            ``(n, 2)`` the relative and the plain distance from the nearest class, and ``(n,)`` which class it is.
        """
        x, means = np.asarray(features, np.float64), np.asarray(self.means, np.float64)
        near = np.stack([_squared(x - mean, self.within) for mean in means[1:]], 1)
        least = near.min(1)
        relative = np.maximum(least - _squared(x - means[0], self.total), 0.0)
        return np.sqrt(np.stack([relative, least], 1)), near.argmin(1)

    def novelty(self, features: Floats) -> Novelty:
        """Of the features ``(d,)`` of one image.

        Raises:
            ModelError: features of another length, or not finite.
        """
        if features.shape != self.means.shape[1:] or not np.isfinite(features).all():
            raise ModelError(
                f"Guard: expected {self.means.shape[1]} finite features, found {features.shape}. Train the bundle anew."
            )
        distances, nearest = self.distances(features[None])
        return Novelty(float((distances[0] / np.asarray(self.limits)).max()), int(nearest[0]))

    def members(self) -> dict[str, bytes]:
        """Its arrays as members of a bundle."""
        result = {}
        for name, array in zip(FILES, (self.means, self.within, self.total), strict=True):
            buffer = BytesIO()
            np.save(buffer, array, allow_pickle=False)
            result[name] = buffer.getvalue()
        return result


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
    return Guard(means, within, total, openset.limits)


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
