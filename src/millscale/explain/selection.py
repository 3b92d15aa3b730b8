"""Which boxes of an answer are explained."""

import numpy as np

from millscale.core.errors import DataError, UsageError
from millscale.core.types import Boxes, Prediction
from millscale.runtime.decide import counts
from millscale.runtime.inspector import Inspector


def chosen_boxes(inspector: Inspector, prediction: Prediction, number: int | None = None) -> Boxes:
    """The boxes that count, or the strongest where none does, or the one that was asked for.

    Args:
        inspector: whose answer it is; its card's thresholds say what counts.
        prediction: with boxes.
        number: from 1: the boxes that count in the order in which `inspect` lists them, then the weaker ones.

    Raises:
        DataError: no box at all.
        UsageError: the bundle does not locate, or there is no box of that number.
    """
    found, counting = prediction.boxes, inspector.counting(prediction)
    if found is None or counting is None:
        raise UsageError(
            f"Bundle '{inspector.card.name}': expected a detector, found only a classifier. "
            "Explain its class, or use a bundle that locates."
        )
    if not len(found):
        raise DataError("expected a box to explain, found none, however weak. Explain the class, or another image.")
    if number is None:
        return counting if len(counting) else _rows(found, np.argsort(-_strength(found), kind="stable")[:1])
    if not 1 <= number <= len(found):
        raise UsageError(f"--box {number}: expected a number from 1 to {len(found)}, the boxes found in this image.")
    return _rows(found, _order(inspector, found)[number - 1 : number])


def _order(inspector: Inspector, boxes: Boxes) -> np.ndarray:
    """Rows, those that count first, the strongest of each first."""
    return np.lexsort((-_strength(boxes), ~counts(boxes, inspector.card.classes, inspector.card.thresholds)))


def _strength(boxes: Boxes) -> np.ndarray:
    return np.ones(len(boxes)) if boxes.score is None else boxes.score


def _rows(boxes: Boxes, rows: np.ndarray) -> Boxes:
    return Boxes(boxes.xyxy[rows], boxes.class_id[rows], _strength(boxes)[rows])
