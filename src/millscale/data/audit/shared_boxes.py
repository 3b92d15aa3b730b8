"""Two annotations of the same pixels: the boxes of two overlapping images inside their shared rectangle."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from millscale.core.boxes import area, clipped, iou_matrix
from millscale.core.types import Boxes
from millscale.data.audit.audit import Audit
from millscale.data.audit.overlap import Overlap, shared_rectangle
from millscale.data.manifest import Manifest
from millscale.imaging.decode import read_size

Floats = NDArray[np.float64]

MOSTLY = 0.5
"""Part of a box's area that must lie in the shared rectangle for the box to count."""
LEAST_SIDE = 8.0
"""Pixels; a shorter clipped side is the rim of something that lies elsewhere (measured: annotators leave
pieces below 12 px at a border unmarked in more than nine cases of ten)."""


@dataclass(frozen=True, eq=False)
class Side:
    """One image's annotation of the shared rectangle.

    Attributes:
        boxes: clipped to the shared rectangle, in ITS pixels; those wholly outside are left out.
        counts: ``(N,)`` bool, the box lies mostly inside, is no mere rim and is not ``difficult``: the other
            annotator had it before him too, and must answer for it. The others are there to be matched only.
    """

    boxes: Boxes
    counts: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class SharedBoxes:
    """The annotations of two images where both show the same surface."""

    overlap: Overlap
    a: Side
    b: Side

    @cached_property
    def iou(self) -> Floats:
        """``(N, M)`` of the clipped boxes, of whatever classes."""
        return iou_matrix(self.a.boxes.xyxy, self.b.boxes.xyxy)

    @cached_property
    def iou_in_class(self) -> Floats:
        """``(N, M)``, 0 between boxes of two classes."""
        return np.asarray(self.iou * (self.a.boxes.class_id[:, None] == self.b.boxes.class_id[None]))

    @cached_property
    def agreement(self) -> tuple[Floats, Floats]:
        """IoU of each box of a ``(N,)`` and of b ``(M,)`` with its partner of the same class, 0 without one."""
        found_a, found_b = np.zeros(len(self.a.boxes)), np.zeros(len(self.b.boxes))
        for i, j in matched(self.iou_in_class):
            found_a[i] = found_b[j] = self.iou_in_class[i, j]
        return found_a, found_b


def matched(iou: Floats) -> Iterator[tuple[int, int]]:
    """Pairs (row, column), each at most once, the largest positive IoU first; of equal ones the first.

    Cut at any threshold, they are what matching at that threshold alone would give.
    """
    free = np.array(iou, np.float64)
    while free.size and free.max() > 0:
        i, j = divmod(int(free.argmax()), free.shape[1])
        yield i, j
        free[i], free[:, j] = 0, 0


def shared_boxes(manifest: Manifest, audit: Audit, overlaps: Iterable[Overlap]) -> list[SharedBoxes]:
    """The annotations to compare, one item a pair of images that are both annotated.

    Of exact copies only the first is compared with third images: the others would say the same again. Two
    copies are compared with each other unless their boxes are the same numbers, which were copied, not drawn.
    """
    records = {record.id: record for record in manifest.records}
    copies = set(audit.exact_duplicates)
    again = {copy for _, copy in copies}
    size = cache(lambda name: read_size(records[name].path)[::-1])
    found = []
    for o in overlaps:
        a, b = (records[name].boxes if name in records else None for name in (o.a, o.b))
        if a is None or b is None or (not _drawn_twice(a, b) if (o.a, o.b) in copies else {o.a, o.b} & again):
            continue
        where = shared_rectangle(size(o.a), size(o.b), o.dx, o.dy)
        if where is not None:
            found.append(SharedBoxes(o, _side(a, where[0]), _side(b, where[1])))
    return found


def _drawn_twice(a: Boxes, b: Boxes) -> bool:
    return not (np.array_equal(a.xyxy, b.xyxy) and np.array_equal(a.class_id, b.class_id))


def _side(boxes: Boxes, where: tuple[slice, slice]) -> Side:
    rows, columns = where
    moved = boxes.xyxy - np.array([columns.start, rows.start] * 2, np.float32)
    parts = clipped(moved, (rows.stop - rows.start, columns.stop - columns.start))
    kept = area(parts) > 0
    parts, whole, difficult = parts[kept], area(boxes.xyxy)[kept], np.asarray(boxes.difficult)[kept]
    counts = (area(parts) >= MOSTLY * whole) & ~difficult
    counts &= (parts[:, 2:] - parts[:, :2]).min(1, initial=np.inf) >= LEAST_SIDE
    return Side(Boxes(parts, boxes.class_id[kept], difficult=difficult), counts)
