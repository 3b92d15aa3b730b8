"""The classifier of a bundle on one image."""

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import ModelError
from millscale.core.types import Image
from millscale.imaging.preprocess import Preprocess
from millscale.runtime.network import Network


class Classifier:
    """A classifier ready to run; safe to share between threads.

    Args:
        network: ``images (n, h, w, 3)`` uint8 → ``probs (n, C)``.
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

    def classify(self, image: Image) -> NDArray[np.float32]:
        """``(C,)`` probabilities of an image ``(H, W, 3)`` or ``(H, W)``.

        Raises:
            ModelError: the network gives no finite probability for each class.
        """
        tensor, _ = self._preprocess.apply(image)
        answer = self._network.run({"images": tensor[None]}, ["probs"])[0]
        # A comparison with NaN is false, so that a NaN would make the cheapest verdict "pass".
        if answer.shape != (1, self._classes) or not np.isfinite(answer).all():
            raise ModelError(
                f"{self._network.name}: expected {self._classes} finite probabilities, found {answer}. "
                "Train the bundle anew."
            )
        return np.asarray(answer[0])
