"""Numbers of a classifier from truth and prediction.

The rule for classes without samples, the same everywhere: a class that never occurs in the truth has an
undefined recall and F1 (NaN here, ``null`` in JSON) and takes no part in the averages over classes; an
image wrongly given to it still counts against the class the image belongs to. A class that is never
predicted has an undefined precision, and an F1 of 0 where it does occur in the truth.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from millscale.core.errors import DataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ClassScores:
    """Per-class numbers; every array ends in an axis of C classes.

    Attributes:
        precision, recall, f1: ``(…, C)`` float64 in [0, 1], NaN where undefined.
        support: ``(…, C)`` float64, images of each class in the truth.
    """

    precision: Floats
    recall: Floats
    f1: Floats
    support: Floats


def checked(y_true: ArrayLike, probs: ArrayLike) -> tuple[Ints, Floats]:
    """``y_true`` as ``(N,)`` int64 and ``probs`` as ``(N, C)`` float64, verified to belong together.

    Raises:
        DataError: no image, shapes that do not match, a label outside [0, C), or rows that are not
            probabilities (finite, in [0, 1], summing to 1 within 0.001).
    """
    truth, p = np.asarray(y_true), np.asarray(probs, dtype=np.float64)
    if truth.ndim != 1 or p.ndim != 2 or len(truth) != len(p):
        raise DataError(
            f"Expected y_true (N,) and probs (N, C), found {truth.shape} and {p.shape}; pass a row per image."
        )
    if not len(truth) or not p.shape[1]:
        raise DataError(f"Expected at least one labelled image and one class, found {p.shape}; add images.")
    if not np.issubdtype(truth.dtype, np.integer):
        raise DataError(f"Expected y_true as class indices, found {truth.dtype}; map the names to indices.")
    if truth.min() < 0 or truth.max() >= p.shape[1]:
        raise DataError(
            f"Expected labels in [0, {p.shape[1]}), found {truth.min()} to {truth.max()}; leave unlabelled images out."
        )
    _check_rows(p)
    return truth.astype(np.int64), p


def _check_rows(probs: Floats) -> None:
    bad = ~(np.isfinite(probs).all(1) & (probs >= -1e-6).all(1) & (np.abs(probs.sum(1) - 1) < 1e-3))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"Expected probabilities that sum to 1 in each row, found {int(bad.sum())} other rows, the first "
            f"at {row}: {np.array2string(probs[row], precision=3, threshold=8)}; apply a softmax first."
        )


def confusion_matrix(y_true: ArrayLike, y_pred: ArrayLike, classes: int) -> Ints:
    """Counts ``(C, C)`` int64: rows are the truth, columns the prediction.

    Args:
        y_true: ``(N,)`` class indices in [0, C).
        y_pred: ``(N,)`` likewise.
        classes: C.
    """
    cell = np.asarray(y_true, dtype=np.int64) * classes + np.asarray(y_pred, dtype=np.int64)
    return np.bincount(cell, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def class_scores(hits: Floats, truths: Floats, predictions: Floats) -> ClassScores:
    """Precision, recall and F1 from counts; leading axes (bootstrap resamples) are kept.

    Args:
        hits: ``(…, C)`` images of a class predicted as that class.
        truths: ``(…, C)`` images of each class.
        predictions: ``(…, C)`` images predicted as each class.
    """
    f1 = ratio(2 * hits, truths + predictions)
    return ClassScores(
        precision=ratio(hits, predictions),
        recall=ratio(hits, truths),
        f1=np.where(truths > 0, f1, np.nan),
        support=truths,
    )


def mean_over_classes(values: Floats, support: Floats) -> Floats:
    """The mean over the classes that occur in the truth; ``(…, C)`` → ``(…)``.

    Of recalls it is the balanced accuracy, of F1 the macro F1.
    """
    present = support > 0
    return ratio(np.where(present, values, 0.0).sum(-1), present.sum(-1).astype(np.float64))


def ratio(part: Floats, whole: Floats) -> Floats:
    """``part / whole``, NaN where ``whole`` is 0."""
    result: Floats = np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=np.asarray(whole) > 0)
    return result
