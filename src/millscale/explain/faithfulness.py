"""Does a map show what the model looks at? Hide the hottest pixels first and see what remains; then show them first.

Source: the deletion and insertion curves of Petsiuk et al. 2018, section 4.2. A number alone says little, since hiding
anything harms some models and nothing harms others; so every curve stands beside those of maps without meaning.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from millscale.core.types import Image


@dataclass(frozen=True)
class Faithfulness:
    """Areas under the curves of a map and of random ones; each in [0, 1], in the unit of what remains.

    Attributes:
        deletion: mean over the share of pixels hidden, the hottest first; the lower the better.
        insertion: mean over the share of pixels shown, the hottest first; the higher the better.
        random_deletion: the mean of the random maps.
        random_insertion: the same.
        beaten: random maps whose insertion minus deletion is below this map's.
        random: how many there were.
    """

    deletion: float
    insertion: float
    random_deletion: float
    random_insertion: float
    beaten: int
    random: int

    @property
    def better(self) -> bool:
        """Whether the map is better than every random one; by chance, one useless map in ``random + 1`` is."""
        return self.beaten == self.random


def changed_images(image: Image, hidden: Image, heat: NDArray[np.floating], steps: int) -> Iterator[Image]:
    """The images between the whole and the hidden one: ``steps - 1`` of deletion, then as many of insertion.

    Args:
        image: ``(H, W, 3)`` uint8.
        hidden: what stands where it is hidden, the same size.
        heat: ``(H, W)``.
        steps: equal shares of the pixels.
    """
    order = np.argsort(-heat, axis=None, kind="stable")
    for below, above in ((image, hidden), (hidden, image)):
        for step in range(1, steps):
            pixels = below.reshape(-1, 3).copy()
            chosen = order[: round(step / steps * len(order))]
            pixels[chosen] = above.reshape(-1, 3)[chosen]
            yield pixels.reshape(image.shape)


def areas(between: NDArray[np.float64], whole: float, nothing: float) -> tuple[float, float]:
    """Deletion and insertion area, by the trapezoid rule over shares from 0 to 1.

    Args:
        between: ``(2 (steps - 1),)``, what remained in each of ``changed_images``.
        whole: in the image itself.
        nothing: in the hidden one.
    """
    deletion, insertion = between.reshape(2, -1)
    return _area([whole, *deletion, nothing]), _area([nothing, *insertion, whole])


def judged(found: tuple[float, float], random: Sequence[tuple[float, float]]) -> Faithfulness:
    """A map's areas (deletion, insertion) beside those of random maps."""
    deletion, insertion = found
    mean = np.mean(random, axis=0)
    beaten = sum(insertion - deletion > other[1] - other[0] for other in random)
    return Faithfulness(deletion, insertion, float(mean[0]), float(mean[1]), beaten, len(random))


def _area(curve: Sequence[float]) -> float:
    return float(np.trapezoid(curve, dx=1 / (len(curve) - 1)))
