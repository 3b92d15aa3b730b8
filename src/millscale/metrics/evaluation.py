"""One entry: truth and probabilities in, every classification number with its interval out."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from millscale.core.errors import DataError
from millscale.metrics.bootstrap import (
    group_index,
    group_sums,
    percentile_interval,
    proportion_interval,
    resampled_sums,
)
from millscale.metrics.calibration import (
    BINS,
    Reliability,
    binned_error,
    brier_losses,
    confidence_bin,
    log_losses,
    reliability,
)
from millscale.metrics.classification import (
    ClassScores,
    Floats,
    Ints,
    checked,
    class_scores,
    confusion_matrix,
    mean_over_classes,
)

Interval = tuple[float, float]
PER_CLASS = ("precision", "recall", "f1")


@dataclass(frozen=True, eq=False)
class ClassificationMetrics:
    """Every number of one classifier on one set of images.

    Attributes:
        classes: C class names.
        images: N, all of them labelled.
        groups: how many independent groups they form.
        errors: images whose most probable class is not the true one.
        accuracy, balanced_accuracy, macro_f1: in [0, 1].
        confusion: ``(C, C)`` int64, rows are the truth.
        per_class: precision, recall, F1 and support, each ``(C,)``, NaN where undefined.
        reliability: 15 equal-width bins of confidence.
        ece, brier: in [0, 1] and [0, 2]; nll: in nats.
        intervals: 95 % intervals over groups by key: ``accuracy``, ``balanced_accuracy``, ``macro_f1``,
            ``ece``, ``brier``, ``nll`` and ``recall/<class>``, ``precision/<class>``, ``f1/<class>``;
            (NaN, NaN) where undefined.
        seed, resamples: of the bootstrap.
    """

    classes: tuple[str, ...]
    images: int
    groups: int
    errors: int
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    confusion: Ints
    per_class: ClassScores
    reliability: Reliability
    ece: float
    brier: float
    nll: float
    intervals: dict[str, Interval]
    seed: int
    resamples: int

    def to_json(self) -> dict[str, object]:
        """A document of plain numbers, lists and dicts; what is undefined is None."""
        return {
            "images": self.images,
            "groups": self.groups,
            "errors": self.errors,
            "accuracy": self.accuracy,
            "balanced_accuracy": self.balanced_accuracy,
            "macro_f1": self.macro_f1,
            "classes": list(self.classes),
            "confusion": self.confusion.tolist(),
            "ece": self.ece,
            "brier": self.brier,
            "nll": self.nll,
            "per_class": {name: self._class_json(i) for i, name in enumerate(self.classes)},
            "intervals": {key: [_number(end) for end in ends] for key, ends in self.intervals.items()},
            "interval_method": {
                "name": "percentile bootstrap over groups, widened to Wilson by groups where errors are rare",
                "level": 0.95,
                "resamples": self.resamples,
                "seed": self.seed,
            },
        }

    def _class_json(self, index: int) -> dict[str, object]:
        numbers = {key: _number(float(getattr(self.per_class, key)[index])) for key in PER_CLASS}
        return {**numbers, "support": int(self.per_class.support[index])}


def evaluate_classification(
    y_true: ArrayLike,
    probs: ArrayLike,
    classes: Sequence[str],
    groups: Sequence[Hashable] | NDArray[np.generic] | None,
    *,
    seed: int = 0,
    resamples: int = 1000,
) -> ClassificationMetrics:
    """Every classification number with its 95 % interval over groups.

    Args:
        y_true: ``(N,)`` class indices; leave unlabelled images out.
        probs: ``(N, C)`` probabilities, rows summing to 1; the prediction is the first largest.
        classes: C names.
        groups: ``(N,)`` what must not be split (None for an image that stands alone), or None where all do.
        seed: of the bootstrap.
        resamples: number of bootstrap draws.

    Raises:
        DataError: the arrays do not belong together or hold no image.
    """
    truth, p = checked(y_true, probs)
    if p.shape[1] != len(classes):
        raise DataError(f"Expected {len(classes)} columns in probs, found {p.shape[1]}; name every class once.")
    predicted, group = p.argmax(1), group_index(groups, len(truth))
    sums = group_sums(_columns(truth, predicted, p), group)
    point = _statistics(sums.sum(0), len(classes))
    drawn = _statistics(resampled_sums(sums, seed=seed, resamples=resamples), len(classes))
    confusion = confusion_matrix(truth, predicted, len(classes))
    return ClassificationMetrics(
        classes=tuple(classes),
        images=len(truth),
        groups=len(sums),
        errors=int((truth != predicted).sum()),
        accuracy=float(point["accuracy"]),
        balanced_accuracy=float(point["balanced_accuracy"]),
        macro_f1=float(point["macro_f1"]),
        confusion=confusion,
        per_class=class_scores(*(np.asarray(c, float) for c in _marginals(confusion))),
        reliability=reliability(truth, p),
        ece=float(point["ece"]),
        brier=float(point["brier"]),
        nll=float(point["nll"]),
        intervals=_intervals(point, drawn, tuple(classes), truth, predicted, group),
        seed=seed,
        resamples=resamples,
    )


def _marginals(confusion: Ints) -> tuple[Ints, Ints, Ints]:
    return confusion.diagonal(), confusion.sum(1), confusion.sum(0)


def _columns(truth: Ints, predicted: Ints, probs: Floats) -> Floats:
    """What each image adds to the sums ``(N, 3C + 3B + 2)`` from which every statistic follows."""
    classes, right = probs.shape[1], (truth == predicted).astype(np.float64)[:, None]
    in_truth, in_prediction = np.eye(classes)[truth], np.eye(classes)[predicted]
    in_bin = np.eye(BINS)[confidence_bin(probs)]
    losses = np.stack([brier_losses(truth, probs), log_losses(truth, probs)], axis=1)
    confidence = in_bin * probs.max(1, keepdims=True)
    return np.hstack([in_truth * right, in_truth, in_prediction, in_bin, confidence, in_bin * right, losses])


def _statistics(sums: Floats, classes: int) -> dict[str, Floats]:
    """Every statistic of sums ``(…, 3C + 3B + 2)``: scalars as ``(…)``, per-class ones as ``(…, C)``."""
    parts = np.split(sums, np.cumsum([classes] * 3 + [BINS] * 3), axis=-1)
    hits, truths, predictions, count, confidence, bin_hits, losses = parts
    scores, images = class_scores(hits, truths, predictions), truths.sum(-1)
    return {
        "accuracy": hits.sum(-1) / images,
        "balanced_accuracy": mean_over_classes(scores.recall, truths),
        "macro_f1": mean_over_classes(scores.f1, truths),
        "ece": binned_error(count, confidence, bin_hits),
        "brier": losses[..., 0] / images,
        "nll": losses[..., 1] / images,
        **{key: getattr(scores, key) for key in PER_CLASS},
    }


def _intervals(
    point: dict[str, Floats],
    drawn: dict[str, Floats],
    classes: tuple[str, ...],
    truth: Ints,
    predicted: Ints,
    group: Ints,
) -> dict[str, Interval]:
    right = truth == predicted
    taking_part = {
        "recall": [truth == i for i in range(len(classes))],
        "precision": [predicted == i for i in range(len(classes))],
        "f1": [(truth == i) | (predicted == i) for i in range(len(classes))],
    }
    balanced = _balanced_count(truth, group)
    result = {"accuracy": proportion_interval(drawn["accuracy"], float(point["accuracy"]), right, group)}
    for key in ("balanced_accuracy", "macro_f1"):
        # F1 is no proportion, but near 1, where the widening acts, it moves as recall does.
        result[key] = proportion_interval(drawn[key], float(point[key]), right, group, balanced)
    for key in ("ece", "brier", "nll"):
        result[key] = percentile_interval(drawn[key], float(point[key]), int(group.max()) + 1)
    for key, masks in taking_part.items():
        for i, (name, taking) in enumerate(zip(classes, masks, strict=True)):
            values, estimate = drawn[key][:, i], float(point[key][i])
            result[f"{key}/{name}"] = proportion_interval(values, estimate, right[taking], group[taking])
    return result


def _balanced_count(truth: Ints, group: Ints) -> int:
    """How many observations a mean over classes rests on: as if all classes had as few groups as the poorest.

    The worst case puts every unseen error into the class with the fewest groups.
    """
    present = np.unique(truth)
    poorest = min(len(np.unique(group[truth == i])) for i in present)
    return min(len(present) * poorest, len(np.unique(group)))


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
