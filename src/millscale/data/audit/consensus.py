"""One annotation out of several: what the annotators of overlapping crops say together of each image.

The crops of one photograph are laid on their common sheet (``placement``). Boxes of one class that stand for the same
defect form a cluster: their IoU, inside what both crops show, is high enough, and no crop is in it twice. Each crop
then gets its own view of every cluster, because a bounding box does not survive cutting: the box of a slanted
scratch, cut at a crop's border, is wider than the scratch is inside the crop. The four sides of a view are weighted
means of the members' sides, in the manner of weighted box fusion (Solovyev, Wang and Gabruseva, 2021), but a
member is heard on a side only as far as it shows the same piece of the defect, and not at all where the side is
merely its own crop's border and the view goes on beyond. A view stays if at least half of the crops that show the place
have a member there.

Measured on NEU-DET, with the crops of a place but one merged and held against the one left out: merging whole
boxes on the sheet and cutting them back describes it WORSE than any single annotator does (74 % of its boxes at IoU .5
against 81 %), the views describe it as well.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from millscale.core.boxes import area, intersection_matrix, iou_matrix
from millscale.core.types import Boxes
from millscale.data.audit.audit import Audit
from millscale.data.audit.placement import Place, laid_out
from millscale.data.manifest import ImageRecord, Manifest
from millscale.imaging.decode import read_size

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

ROUNDS = 2
"""The second makes crops agree that do not overlap each other but have a neighbour in common."""
SAME_DEFECT = 0.3
"""Least IoU, inside what both crops show, of two boxes for one defect. Loose: annotators differ on the extent."""
SHOWN = 0.3
"""Part of one of two boxes, at least, that both crops must show before they are compared."""
LEAST_SHARED = 8.0
"""Pixels, least side of what two crops share."""
BORDER = 10.0
"""Pixels; a side this near its crop's border says where the crop ends, not where the defect ends. Annotators draw
large defects a little inside the image."""
HEARD = 0.4
"""Least weight of a voice that counts beside others."""
SEES = 0.6
"""Part of a view's area that a crop must show to have a vote on it."""
MAJORITY = 0.5
LEAST_PIECE, LEAST_PART = 16.0, 0.2
"""A piece that a crop's border cuts off is not drawn where none was: pixels along the cut, part of the whole's area.
Annotators leave such pieces out (below 12 pixels, in more than nine cases of ten)."""
INSIDE, SAME_PLACE = 0.7, 0.5
"""Part of a view in a better supported one of its class, or IoU with it, from which it is one annotator's other way
of drawing the same."""


@dataclass(frozen=True, eq=False)
class _Sheet:
    """The boxes of all crops of one photograph, in its pixels.

    Attributes:
        crops: ``(K, 4)`` left, top, right, bottom of each crop.
        xyxy: ``(N, 4)`` boxes.
        class_id: ``(N,)``.
        difficult: ``(N,)``.
        crop: ``(N,)`` the crop that each box was drawn in.
    """

    crops: Floats
    xyxy: Floats
    class_id: Ints
    difficult: Bools
    crop: Ints


@dataclass(frozen=True, eq=False)
class _View:
    """What one crop shows of one cluster: its box on the sheet, and the crops whose annotators drew it."""

    xyxy: Floats
    class_id: int
    difficult: bool
    drawn_in: frozenset[int]


def consensus(manifest: Manifest, audit: Audit, *, rounds: int = ROUNDS) -> Manifest:
    """The manifest with the boxes of overlapping images merged, whole pixels; all else as it was.

    Images without annotation, images that overlap no other and second exposures keep their boxes. An overlap that
    contradicts better ones is not used.

    Args:
        manifest: with boxes.
        audit: of the same images.
        rounds: how often to merge; each starts from what the last one gave.
    """
    records = {record.id: record for record in manifest.records if record.boxes is not None}
    merged: dict[str, Boxes] = {}
    for places in laid_out(list(records), audit.overlaps):
        if len(places) > 1:
            merged |= _merge(places, [records[name] for name in places], rounds)
    changed = (replace(r, boxes=merged[r.id]) if r.id in merged else r for r in manifest.records)
    return replace(manifest, records=tuple(changed))


def _merge(places: dict[str, Place], records: list[ImageRecord], rounds: int) -> dict[str, Boxes]:
    """The merged boxes of each image of one sheet, in the image's pixels."""
    sizes = np.array([read_size(record.path) for record in records], np.float64)
    origins = np.array([places[record.id] for record in records], np.float64)
    crops = np.concatenate([origins, origins + sizes], 1)
    drawn = [record.boxes for record in records if record.boxes is not None]
    for _ in range(rounds):
        sheet = _on_sheet(crops, drawn)
        cluster = _clusters(sheet)
        drawn = [_cut(_views(sheet, cluster, k), crops[k]) for k in range(len(crops))]
    return {record.id: boxes for record, boxes in zip(records, drawn, strict=True)}


def _on_sheet(crops: Floats, drawn: list[Boxes]) -> _Sheet:
    difficult = [np.zeros(len(b), bool) if b.difficult is None else b.difficult for b in drawn]
    return _Sheet(
        crops=crops,
        xyxy=np.concatenate([b.xyxy + np.tile(crop[:2], 2) for b, crop in zip(drawn, crops, strict=True)]),
        class_id=np.concatenate([b.class_id for b in drawn]),
        difficult=np.concatenate(difficult),
        crop=np.repeat(np.arange(len(drawn)), [len(b) for b in drawn]),
    )


def _cut(views: list[_View], crop: Floats) -> Boxes:
    """The views as boxes of a crop, whole pixels of it."""
    xyxy = np.array([view.xyxy for view in views]).reshape(-1, 4) - np.tile(crop[:2], 2)
    return Boxes(
        np.rint(xyxy),
        np.array([view.class_id for view in views], np.int64),
        difficult=np.array([view.difficult for view in views], np.bool_),
    )


def _clusters(sheet: _Sheet) -> Ints:
    """``(N,)`` the cluster of each box: the likest pairs joined first, never two boxes of one crop."""
    cluster = np.arange(len(sheet.xyxy))
    crops = [{int(crop)} for crop in sheet.crop]
    for _, i, j in sorted(_likeness(sheet), key=lambda item: (-item[0], item[1], item[2])):
        one, other = cluster[i], cluster[j]
        if one != other and not crops[one] & crops[other]:
            cluster[cluster == other] = one
            crops[one] |= crops[other]
    return cluster


def _likeness(sheet: _Sheet) -> Iterator[tuple[float, int, int]]:
    """IoU of every two boxes that may stand for one defect, each cut to what both crops show."""
    whole = area(sheet.xyxy)
    for i in range(len(whole)):
        later = np.flatnonzero((sheet.class_id == sheet.class_id[i]) & (sheet.crop > sheet.crop[i]))
        shared = _common(sheet.crops[sheet.crop[later]], sheet.crops[sheet.crop[i]])
        one, other = _common(shared, sheet.xyxy[i]), _common(shared, sheet.xyxy[later])
        both = area(_common(one, other))
        union = area(one) + area(other) - both
        shown = np.maximum(area(one) / whole[i], area(other) / whole[later]) >= SHOWN
        wide = (shared[:, 2:] - shared[:, :2]).min(1, initial=np.inf) >= LEAST_SHARED
        alike = wide & shown & (both >= SAME_DEFECT * union) & (both > 0)
        yield from ((float(both[k] / union[k]), i, int(later[k])) for k in np.flatnonzero(alike))


def _common(a: Floats, b: Floats) -> Floats:
    """The common part ``(N, 4)`` of boxes ``(N, 4)`` and ``(N, 4)`` or ``(4,)``; empty or inverted where apart."""
    return np.concatenate([np.maximum(a[:, :2], b[..., :2]), np.minimum(a[:, 2:], b[..., 2:])], 1)


def _views(sheet: _Sheet, cluster: Ints, k: int) -> list[_View]:
    """The boxes of crop ``k``, the best supported first."""
    shown = area(_common(sheet.xyxy, sheet.crops[k])) > 0
    views = (_view(sheet, np.flatnonzero((cluster == name) & shown), k) for name in np.unique(cluster[shown]))
    kept: list[_View] = []
    for view in sorted((v for v in views if v), key=lambda v: (-len(v.drawn_in), -float(area(v.xyxy)[0]))):
        if not any(_says_the_same(view, better) for better in kept):
            kept.append(view)
    return kept


def _says_the_same(view: _View, better: _View) -> bool:
    """Is it the same place drawn in another way? Where one annotator drew both, they are two."""
    if view.class_id != better.class_id or view.drawn_in & better.drawn_in:
        return False
    inside = float(intersection_matrix(view.xyxy, better.xyxy)[0, 0]) / float(area(view.xyxy)[0])
    return inside > INSIDE or float(iou_matrix(view.xyxy, better.xyxy)[0, 0]) > SAME_PLACE


def _view(sheet: _Sheet, members: Ints, k: int) -> _View | None:
    """Crop ``k``'s view of a cluster, or None where most crops do not have it, or too little of it shows."""
    crop, boxes = sheet.crops[k], sheet.xyxy[members]
    seen = _common(boxes, crop)
    mine = sheet.crop[members] == k
    extent = _extent(seen[mine] if mine.any() else seen)
    box = np.array([_side(side, boxes, sheet.crops[sheet.crop[members]], crop, extent) for side in range(4)])
    if (box[2:] - box[:2] < 1).any() or (not mine.any() and _is_rim(box, _extent(boxes), crop)):
        return None
    drawn_in = frozenset(sheet.crop[members].tolist())
    if not _has_majority(box, drawn_in, sheet.crops):
        return None
    difficult = bool(sheet.difficult[members].mean() > MAJORITY)
    return _View(box, int(sheet.class_id[members[0]]), difficult, drawn_in)


def _extent(boxes: Floats) -> Floats:
    """``(4,)`` the smallest box around boxes ``(N, 4)``."""
    return np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])


def _side(side: int, boxes: Floats, homes: Floats, crop: Floats, extent: Floats) -> float:
    """Where one side of a view lies, on the sheet.

    Args:
        side: 0 left, 1 top, 2 right, 3 bottom.
        boxes: ``(M, 4)`` the members.
        homes: ``(M, 4)`` the crops they were drawn in.
        crop: ``(4,)`` the crop that is looked through.
        extent: ``(4,)`` about where the view lies.
    """
    outward = -1 if side < 2 else 1
    places = np.clip(boxes[:, side], crop[side % 2], crop[side % 2 + 2])
    weight = _shows_the_same(1 - side % 2, boxes, homes, crop, extent)
    at_border = outward * (homes[:, side] - boxes[:, side]) <= BORDER
    goes_on = outward * (crop[side] - homes[:, side]) > BORDER
    heard = ~(at_border & goes_on) & (weight >= HEARD)
    if not heard.any():
        # All saw a part at most: it reaches at least as far as the one that saw most of it says.
        return float(outward * (outward * places).max())
    return float(np.average(places[heard], weights=weight[heard]))


def _shows_the_same(axis: int, boxes: Floats, homes: Floats, crop: Floats, extent: Floats) -> Floats:
    """``(M,)`` in [0, 1]: does each member show, along an axis, just what the view shows? The weight of its voice.

    The part of the view that its crop shows, times the part of the member that lies in the crop looked through.
    """
    low, high = axis, axis + 2
    shown = np.minimum(homes[:, high], extent[high]) - np.maximum(homes[:, low], extent[low])
    inside = np.minimum(boxes[:, high], crop[high]) - np.maximum(boxes[:, low], crop[low])
    parts = shown / (extent[high] - extent[low]), inside / (boxes[:, high] - boxes[:, low])
    return np.asarray(np.clip(parts[0], 0, 1) * np.clip(parts[1], 0, 1))


def _is_rim(box: Floats, whole: Floats, crop: Floats) -> bool:
    """Does the crop's border leave so little of the defect that an annotator would not draw it?"""
    cut_low = (box[:2] - crop[:2] < BORDER) & (whole[:2] < crop[:2])
    cut_high = (crop[2:] - box[2:] < BORDER) & (whole[2:] > crop[2:])
    short = box[2:] - box[:2] < LEAST_PIECE
    return bool(((cut_low | cut_high) & short).any() or area(box)[0] < LEAST_PART * area(whole)[0])


def _has_majority(box: Floats, drawn_in: frozenset[int], crops: Floats) -> bool:
    """Did at least half of the crops that show the place have it? A tie keeps it."""
    see = np.flatnonzero(area(_common(crops, box)) >= SEES * area(box)[0]).tolist()
    return not see or len(drawn_in.intersection(see)) >= MAJORITY * len(see)
