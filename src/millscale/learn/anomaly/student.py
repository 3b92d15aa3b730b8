"""A small student that guesses the backbone's deep features from its fine ones, and an autoencoder of both.

EfficientAD's two questions (Batzner, Heckler and König, WACV 2024) on frozen features: a student of a narrow view is
wrong where structure is new, and an autoencoder with a narrow neck is wrong where parts do not belong together. Ours
see fine features with the mean of their neighbourhood, and the principal components of a patch.
"""

import warnings
from dataclasses import dataclass

import numpy as np

from millscale.features.graph import Builder
from millscale.learn.patches import NEIGHBOURHOOD, Floats, Patches, finest, pointwise

DESCRIPTION = "how wrong a small network is that guesses deep features from fine ones, and an autoencoder's error"
DRAWN = False
_HIDDEN, _NECK, _TARGETS = 64, 16, 32
_EPOCHS, _BATCH, _RATE, _DECAY = 8, 512, 2e-3, 1e-3
_MOST = 24_000
"""Patches that the networks learn from; a quarter of them only says how wrong they usually are."""
_SHRINKAGE = 0.05


@dataclass(frozen=True, eq=False)
class Guess:
    """``(relu(x @ weight + bias) @ out + out_bias - target) @ whitening`` of an input x and a target, by patch."""

    layers: tuple[tuple[Floats, Floats], ...]
    target: tuple[Floats, Floats]
    whitening: Floats

    def build(self, build: Builder, seen: str, guessed: str) -> str:
        """Logarithm of the mean squared error, in units of the usual one."""
        hidden = build.op("Relu", pointwise(build, seen, *self.layers[0]))
        error = build.op("Sub", pointwise(build, hidden, *self.layers[1]), pointwise(build, guessed, *self.target))
        white = pointwise(build, error, self.whitening, np.zeros(len(self.whitening)))
        squared = build.op("ReduceMean", build.op("Mul", white, white), axes=[1], keepdims=1)
        return build.op("Log", build.op("Add", squared, build.constant(np.array(1e-3, np.float32))))


@dataclass(frozen=True, eq=False)
class Student:
    """The student and the autoencoder; ``fine`` leading features are what the student sees, the others it guesses."""

    fine: int
    student: Guess
    autoencoder: Guess

    def build(self, build: Builder, features: str) -> str:
        """Mean of both logarithms."""
        fine, deep = (_channels(build, features, *ends) for ends in ((0, self.fine), (self.fine, 1 << 30)))
        around = build.op(
            "AveragePool",
            fine,
            kernel_shape=[NEIGHBOURHOOD] * 2,
            pads=[NEIGHBOURHOOD // 2] * 4,
            count_include_pad=0,
        )
        seen = build.op("Concat", fine, around, axis=1)
        return build.op(
            "Mean", self.student.build(build, seen, deep), self.autoencoder.build(build, features, features)
        )


def fit(patches: Patches, _bank: int, _components: int, seed: int) -> Student:
    """Both trained for a fixed number of passes over good patches."""
    rows = np.random.default_rng(seed).permutation(len(patches.good))[:_MOST]
    good, around = (each[rows].astype(np.float64) for each in (patches.good, patches.around))
    fine = finest(good.shape[1])
    student = _guess(np.concatenate([good[:, :fine], around], axis=1), good[:, fine:], _HIDDEN, seed)
    return Student(fine, student, _guess(good, good, _NECK, seed))


def _guess(seen: Floats, guessed: Floats, hidden: int, seed: int) -> Guess:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor  # seconds to import, and rarely needed

    weight, bias = _principal(guessed)
    target = guessed @ weight + bias
    mean, deviation = seen.mean(0), seen.std(0) + 1e-6
    x = (seen - mean) / deviation
    learnt = 3 * len(x) // 4
    network = MLPRegressor(
        hidden_layer_sizes=(hidden,),
        alpha=_DECAY,
        max_iter=_EPOCHS,
        batch_size=min(_BATCH, learnt),
        learning_rate_init=_RATE,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(x[:learnt], target[:learnt])
    error = np.atleast_2d(network.predict(x[learnt:]) - target[learnt:]).reshape(-1, weight.shape[1])
    covariance = error.T @ error / len(error)
    covariance += (_SHRINKAGE * np.trace(covariance) / len(covariance) + 1e-9) * np.eye(len(covariance))
    whitening = np.linalg.inv(np.linalg.cholesky(covariance)).T
    first = network.coefs_[0] / deviation[:, None]
    layers = ((first, network.intercepts_[0] - mean @ first), (network.coefs_[1], network.intercepts_[1]))
    return Guess(layers, (weight, bias), whitening)


def _principal(features: Floats) -> tuple[Floats, Floats]:
    """Weight and bias of the leading principal components of standardised features, each with a deviation of 1."""
    mean, deviation = features.mean(0), features.std(0) + 1e-6
    values, vectors = np.linalg.eigh(np.cov(((features - mean) / deviation).T))
    kept = slice(-1, -min(_TARGETS, len(values)) - 1, -1)
    weight = vectors[:, kept] / np.sqrt(np.maximum(values[kept], 1e-6)) / deviation[:, None]
    return weight, -(mean @ weight)


def _channels(build: Builder, features: str, first: int, end: int) -> str:
    return build.op("Slice", features, *(build.constant(np.array([i])) for i in (first, end, 1)))
