"""The classifier of a bundle on one image."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import ModelError
from millscale.core.types import Image
from millscale.imaging.preprocess import Preprocess
from millscale.runtime.network import Network


class Answer(NamedTuple):
    """Of one image: ``(C,)`` probabilities, and ``(d,)`` features where the network gives them."""

    probs: NDArray[np.float32]
    features: NDArray[np.float32] | None


class Classifier:
    """A classifier ready to run; safe to share between threads.

    Args:
        network: ``images (n, h, w, 3)`` uint8 → ``probs (n, C)`` and, but for old ones, ``features (n, d)``.
        preprocess: brings an image to the network's input.
        classes: C.

    Raises:
        ModelError: the network has other inputs or outputs.
    """

    def __init__(self, network: Network, preprocess: Preprocess, classes: int) -> None:
        if "probs" not in network.outputs or network.inputs != ["images"]:
            raise ModelError(
                f"{network.name}: expected input images and output probs, found {network.inputs} and "
                f"{network.outputs}. Train the bundle anew."
            )
        self._network, self._preprocess, self._classes = network, preprocess, classes
        self._outputs = ["probs", *(["features"] if "features" in network.outputs else [])]

    def classify(self, image: Image) -> Answer:
        """Probabilities and features of an image ``(H, W, 3)`` or ``(H, W)``.

        Raises:
            ModelError: the network gives no finite probability for each class.
        """
        tensor, _ = self._preprocess.apply(image)
        found = self._network.run({"images": tensor[None]}, self._outputs)
        probs = found[0]
        # A comparison with NaN is false, so that a NaN would make the cheapest verdict "pass".
        if probs.shape != (1, self._classes) or not np.isfinite(probs).all():
            raise ModelError(
                f"{self._network.name}: expected {self._classes} finite probabilities, found {probs}. "
                "Train the bundle anew."
            )
        return Answer(probs[0], found[1][0] if len(found) > 1 else None)
