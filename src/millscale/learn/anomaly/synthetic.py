"""A small network that tells good patches from patches of defects drawn on good images.

Defects are drawn as in CutPaste (Li et al., CVPR 2021) and DRÆM (Zavrtanik et al., ICCV 2021), and told apart on frozen
features as in SimpleNet (Liu et al., CVPR 2023).
"""

import warnings
from dataclasses import dataclass

import numpy as np

from millscale.features.graph import Builder
from millscale.learn.patches import Floats, Patches, pointwise

DESCRIPTION = "a network that tells good patches from drawn defects"
DRAWN = True
_HIDDEN, _EPOCHS, _BATCH, _RATE, _DECAY = 64, 8, 512, 2e-3, 3e-2


@dataclass(frozen=True, eq=False)
class Discriminator:
    """``relu(patch @ weight + bias) @ out_weight + out_bias``: weight ``(d, 64)``, out_weight ``(64, 1)``."""

    weight: Floats
    bias: Floats
    out_weight: Floats
    out_bias: Floats

    def build(self, build: Builder, features: str) -> str:
        """Log odds of a defect."""
        hidden = build.op("Relu", pointwise(build, features, self.weight, self.bias))
        return pointwise(build, hidden, self.out_weight, self.out_bias)


def fit(patches: Patches, _bank: int, _components: int, seed: int) -> Discriminator:
    """Trained for a fixed number of passes."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier  # seconds to import, and rarely needed

    features = np.concatenate([patches.good, patches.beside, patches.drawn])
    drawn = np.arange(len(features)) >= len(patches.good) + len(patches.beside)
    mean, deviation = features.mean(0), features.std(0) + 1e-6
    network = MLPClassifier(
        (_HIDDEN,), alpha=_DECAY, max_iter=_EPOCHS, batch_size=_BATCH, learning_rate_init=_RATE, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit((features - mean) / deviation, drawn)
    weight = network.coefs_[0] / deviation[:, None]
    return Discriminator(
        weight,
        network.intercepts_[0] - mean @ weight,
        np.asarray(network.coefs_[1]),
        np.asarray(network.intercepts_[1]),
    )
