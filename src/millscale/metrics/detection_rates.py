"""What a detector says of whole images at its operating thresholds, and what it takes for what."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from millscale.core.types import Boxes
from millscale.metrics.classification import Floats, Ints
from millscale.metrics.detection_match import Flags, assign

if TYPE_CHECKING:
    from millscale.metrics.detections import DetectionTable

MATCH_IOU = 0.5


def at_thresholds(table: "DetectionTable", thresholds: Floats) -> "DetectionTable":
    """The table with only those found boxes whose score reaches their class's threshold.

    Args:
        table: all that was found.
        thresholds: ``(C,)``, or ``(N, C)`` where each image has its own.
    """
    rows = np.broadcast_to(thresholds, (len(table), len(table.classes)))
    found = tuple(_reaching(boxes, row) for boxes, row in zip(table.found, rows, strict=True))
    return replace(table, found=found)


def _reaching(boxes: Boxes, thresholds: Floats) -> Boxes:
    # As float32, as scores are and as the inspector compares them: else .7 as a score would miss .7 as a threshold.
    return _picked(boxes, np.asarray(boxes.score, np.float32) >= thresholds.astype(np.float32)[boxes.class_id])


def _picked(boxes: Boxes, keep: Flags) -> Boxes:
    """The boxes where ``keep`` ``(N,)`` is true."""
    score, difficult = np.asarray(boxes.score, np.float32), np.asarray(boxes.difficult, np.bool_)
    return Boxes(boxes.xyxy[keep], boxes.class_id[keep], score[keep], difficult[keep])


def shown_classes(rows: tuple[Boxes, ...], classes: int) -> tuple[Flags, Flags]:
    """Which classes each image has a box of, ``(N, C)``: that counts, and of any kind."""
    counts = np.zeros((2, len(rows), classes), dtype=np.bool_)
    for row, boxes in enumerate(rows):
        counts[0, row, boxes.class_id[~np.asarray(boxes.difficult, np.bool_)]] = True
        counts[1, row, boxes.class_id] = True
    return counts[0], counts[1]


def box_confusion(table: "DetectionTable") -> Ints:
    """Counts ``(C + 1, C + 1)`` of boxes matched at IoU .5 whatever their class; the background is last.

    Rows are the truth: its last one counts false alarms. Columns are what was found: the last one counts misses.
    Found boxes choose in the order of their scores, so of two on one true box the surer one names it and the
    other is a false alarm. Pass a table at its operating thresholds, see :func:`at_thresholds`.
    """
    background = len(table.classes)
    counts = np.zeros((background + 1, background + 1), dtype=np.int64)
    for truth, found in zip(table.truth, table.found, strict=True):
        pairs, misses, alarms = matched_pairs(truth, found)
        np.add.at(counts, (truth.class_id[pairs[:, 0]], found.class_id[pairs[:, 1]]), 1)
        np.add.at(counts[:, background], truth.class_id[misses], 1)
        np.add.at(counts[background], found.class_id[alarms], 1)
    return counts


def matched_pairs(truth: Boxes, found: Boxes) -> tuple[Ints, Ints, Ints]:
    """One image's boxes matched at IoU .5 whatever their class: pairs, misses and false alarms.

    Returns:
        ``(K, 2)`` indices into ``truth`` and ``found``, the indices of missed true boxes and those of false
        alarms; ``difficult`` boxes and what lies in them are in none of the three.
    """
    order = np.argsort(-np.asarray(found.score, np.float64), kind="stable")
    difficult = np.asarray(truth.difficult, np.bool_)
    boxes, edges = found.xyxy[order].astype(np.float64), truth.xyxy.astype(np.float64)
    taken = assign(boxes, edges, difficult, np.array([MATCH_IOU]))[0]
    counts = (taken >= 0) & ~np.append(difficult, False)[taken]
    pairs = np.stack([taken[counts], order[counts]], axis=1)
    missed = np.setdiff1d(np.flatnonzero(~difficult), pairs[:, 0])
    return pairs, missed.astype(np.int64), order[taken < 0].astype(np.int64)


def misses_and_alarms(truth: Boxes, found: Boxes) -> tuple[Ints, Ints]:
    """One image's misses and false alarms at IoU .5 with each class matched by itself, as AP judges it.

    Returns:
        Indices of ``truth`` and of ``found``, both rising.
    """
    misses, alarms = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for index in np.union1d(truth.class_id, found.class_id):
        drawn, mine = truth.class_id == index, found.class_id == index
        _, missed, false = matched_pairs(_picked(truth, drawn), _picked(found, mine))
        misses.append(np.flatnonzero(drawn)[missed])
        alarms.append(np.flatnonzero(mine)[false])
    return np.sort(np.concatenate(misses)), np.sort(np.concatenate(alarms))
