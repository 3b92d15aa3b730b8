"""How much of the damaged area is covered: unions of boxes against unions of boxes, whatever their number.

Three small boxes in place of one large one fail by IoU and cover the same steel. Areas are exact, not counted on a
raster: the plane is cut along every edge, so a fraction of a pixel counts as a fraction and the cost depends on the
number of boxes alone.
"""

from typing import TYPE_CHECKING

import numpy as np

from millscale.metrics.classification import Floats
from millscale.metrics.detection_match import Flags

if TYPE_CHECKING:
    from millscale.metrics.detections import DetectionTable


def covered_areas(table: "DetectionTable") -> Floats:
    """Areas ``(N, C, 3)`` in square pixels: of the union of true boxes, of found boxes, and of both together.

    What only a ``difficult`` box covers takes no part. Pass a table at its operating thresholds, see
    :func:`millscale.metrics.detection_rates.at_thresholds`.
    """
    areas = np.zeros((len(table), len(table.classes), 3))
    for row, (truth, found) in enumerate(zip(table.truth, table.found, strict=True)):
        difficult = np.asarray(truth.difficult, np.bool_)
        for index in np.union1d(truth.class_id, found.class_id):
            drawn = truth.class_id == index
            layers = (truth.xyxy[drawn & ~difficult], found.xyxy[found.class_id == index])
            areas[row, index] = union_areas(*layers, ignored=truth.xyxy[drawn & difficult])
    return areas


def union_areas(truth: Floats, found: Floats, *, ignored: Floats) -> Floats:
    """Areas ``(3,)`` of the unions of ``truth``, of ``found`` and of their intersection.

    Args:
        truth: ``(G, 4)`` boxes.
        found: ``(D, 4)`` boxes.
        ignored: ``(I, 4)`` boxes; what they cover outside of ``truth`` is left out.
    """
    every = np.concatenate([truth, found, ignored]).astype(np.float64)
    xs, ys = np.unique(every[:, 0::2]), np.unique(every[:, 1::2])
    cells = np.diff(ys)[:, None] * np.diff(xs)
    real = _covered(truth, xs, ys)
    seen = _covered(found, xs, ys) & (real | ~_covered(ignored, xs, ys))
    return np.array([cells[real].sum(), cells[seen].sum(), cells[real & seen].sum()])


def _covered(boxes: Floats, xs: Floats, ys: Floats) -> Flags:
    """Which cells ``(len(ys) - 1, len(xs) - 1)`` between the edges lie in any of the boxes."""
    result = np.zeros((max(len(ys) - 1, 0), max(len(xs) - 1, 0)), dtype=np.bool_)
    columns, rows = np.searchsorted(xs, boxes[:, 0::2]), np.searchsorted(ys, boxes[:, 1::2])
    for (left, right), (top, bottom) in zip(columns, rows, strict=True):
        result[top:bottom, left:right] = True
    return result
