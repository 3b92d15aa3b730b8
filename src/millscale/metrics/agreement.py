"""How well two annotations of the same pixels agree: what the labels themselves allow a detector to reach.

Overlapping crops were annotated separately, so their boxes on the shared surface are two opinions on one truth.
Only boxes that lie mostly in the shared rectangle are compared (``data/audit/shared_boxes.py``), each once a pair
and side, clipped to the rectangle: a box that one image's border cut is held against the same part of the other's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from millscale.data.audit.audit import Audit
from millscale.data.audit.shared_boxes import SharedBoxes, Side, shared_boxes
from millscale.data.manifest import Manifest
from millscale.metrics.bootstrap import group_index, group_sums, percentile_interval, resampled_sums
from millscale.metrics.classification import Floats

THRESHOLDS = np.arange(10) * 0.05 + 0.5
"""Of IoU, as COCO's mAP50-95 takes them."""
_BOXES, _IOU, _MISSING, _OTHER_CLASS, _FIRST = 0, 1, 2, 3, 4
_COLUMNS = _FIRST + len(THRESHOLDS)
MEASURES = ("iou50", "iou75", "mean_iou", "missing", "other_class", "ap50", "ap50_ranked", "ap50_95", "ap50_95_ranked")


@dataclass(frozen=True)
class ClassAgreement:
    """One class, or the plain mean of the classes; shares are in [0, 1], NaN where nothing was compared.

    One annotation scored as detections of the other gives the ``ap…``. It finds the share ``s`` of the boxes at
    an IoU threshold and, both directions being counted, is right in the share ``s`` of its own: precision and recall
    are both ``s``. With one confidence for all, the precision-recall curve is the rectangle ``s * s`` (``ap50``);
    with the right boxes ranked first, its area is ``s`` (``ap50_ranked``), more than any ranking can give them.

    Attributes:
        boxes: compared, of both sides.
        iou50, iou75: share with a partner of the same class at that IoU or more.
        mean_iou: with the partner; 0 where there is none.
        missing: share that no box of its class in the other annotation touches.
        other_class: share whose place the other annotator marked (IoU of .5 or more) as another class only.
        ap50, ap50_ranked: the average precision at IoU .5 of one annotator against the other, as above.
        ap50_95, ap50_95_ranked: the mean over IoU .5, .55 … .95.
        intervals: 95 % of each of these, over groups.
    """

    boxes: int
    iou50: float
    iou75: float
    mean_iou: float
    missing: float
    other_class: float
    ap50: float
    ap50_ranked: float
    ap50_95: float
    ap50_95_ranked: float
    intervals: Mapping[str, tuple[float, float]]

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``json.dumps``; null where nothing was compared."""
        values = {name: _plain(getattr(self, name)) for name in MEASURES}
        intervals = {name: [_plain(low), _plain(high)] for name, (low, high) in self.intervals.items()}
        return {"boxes": self.boxes, **values, "intervals": intervals}


@dataclass(frozen=True)
class Agreement:
    """What comparing the annotations of overlapping images says of the annotation.

    The ``ap…`` of the mean are the scores that a second annotator would get. They are the ceiling of a detector
    scored on these labels, with four reservations: a detector can answer with several boxes of different extent
    and can predict the middle between annotators, and so pass one annotator's score a little; it can pass it by any
    margin where it has seen the test image's own surface, annotated, in an overlapping crop, which is the leak and
    not skill; one person may have drawn both crops, whose habits then agree better than strangers' would; and a
    shared rectangle is smaller than an image, so more of the edges are given by its border.

    Attributes:
        pairs: pairs of images that share annotated surface.
        classes: by class name, those without a compared box too.
        mean: the plain mean of the classes that have boxes: mAP50 and mAP50-95 among its values.
    """

    pairs: int
    classes: Mapping[str, ClassAgreement]
    mean: ClassAgreement

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``json.dumps``."""
        classes = {name: found.to_json() for name, found in self.classes.items()}
        return {"pairs": self.pairs, "classes": classes, "mean": self.mean.to_json()}


def agreement(
    manifest: Manifest, audit: Audit, *, second_exposures: bool = False, seed: int = 0, resamples: int = 1000
) -> Agreement:
    """Compare the boxes of every two overlapping images, class by class, one to one, the best IoU first.

    Args:
        manifest: with boxes; images without annotation take no part.
        audit: of the same images.
        second_exposures: compare pairs from two photographs instead of crops of one; their light differs, and so may
            what an annotator saw.
        seed: of the intervals, which draw whole groups.
        resamples: draws for the intervals.
    """
    pairs = shared_boxes(manifest, audit, audit.second_exposures if second_exposures else audit.overlaps)
    count = len(manifest.classes)
    table = np.array([_sums(pair, count) for pair in pairs]).reshape(len(pairs), count * _COLUMNS)
    groups = [audit.groups[pair.overlap.a] for pair in pairs]
    sums = group_sums(table, group_index(groups, len(pairs))) if pairs else np.zeros((1, table.shape[1]))
    draws = resampled_sums(sums, seed=seed, resamples=resamples).reshape(resamples, count, _COLUMNS)
    total = sums.sum(0).reshape(count, _COLUMNS)
    values, drawn = _measures(total), _measures(draws)
    boxes = total[:, _BOXES].astype(int).tolist()
    classes = {
        name: _class_agreement(
            boxes[k], {q: v[k] for q, v in values.items()}, {q: d[:, k] for q, d in drawn.items()}, len(sums)
        )
        for k, name in enumerate(manifest.classes)
    }
    mean = _class_agreement(sum(boxes), _averaged(values), _averaged(drawn), len(sums))
    return Agreement(sum(len(p.a.boxes) + len(p.b.boxes) > 0 for p in pairs), classes, mean)


def _sums(pair: SharedBoxes, classes: int) -> Floats:
    """``(classes, columns)`` what one pair adds, both sides together."""
    sums = np.zeros((classes, _COLUMNS))
    found_a, found_b = pair.agreement
    for side, other, found, iou in ((pair.a, pair.b, found_a, pair.iou), (pair.b, pair.a, found_b, pair.iou.T)):
        np.add.at(sums, side.boxes.class_id[side.counts], _rows(side, other, found, iou)[side.counts])
    return sums


def _rows(side: Side, other: Side, found: Floats, iou: Floats) -> Floats:
    """``(N, columns)`` of one side's boxes.

    Args:
        side: whose boxes are judged.
        other: the annotation they are held against.
        found: ``(N,)`` IoU with the partner.
        iou: ``(N, M)`` with all of the other's boxes.
    """
    same = side.boxes.class_id[:, None] == other.boxes.class_id[None]
    rows = np.zeros((len(found), _COLUMNS))
    rows[:, _BOXES], rows[:, _IOU] = 1, found
    rows[:, _MISSING] = ~((iou > 0) & same).any(1)
    rows[:, _OTHER_CLASS] = ((iou >= 0.5) & ~same).any(1) & ~((iou >= 0.5) & same).any(1)
    rows[:, _FIRST:] = found[:, None] >= THRESHOLDS - 1e-9
    return rows


def _measures(sums: Floats) -> dict[str, Floats]:
    """Every measure ``(…, classes)`` from sums ``(…, classes, columns)``; NaN without boxes."""
    boxes = sums[..., _BOXES : _BOXES + 1]
    shares = np.divide(sums, boxes, out=np.full_like(sums, np.nan), where=boxes > 0)
    at = shares[..., _FIRST:]
    return {
        "iou50": at[..., 0], "iou75": at[..., 5], "mean_iou": shares[..., _IOU],
        "missing": shares[..., _MISSING], "other_class": shares[..., _OTHER_CLASS],
        "ap50": at[..., 0] ** 2, "ap50_ranked": at[..., 0],
        "ap50_95": (at**2).mean(-1), "ap50_95_ranked": at.mean(-1),
    }  # fmt: skip


def _averaged(measures: Mapping[str, Floats]) -> dict[str, Floats]:
    """The plain mean over classes, without those that have no boxes."""
    return {name: _nan_mean(values) for name, values in measures.items()}


def _nan_mean(values: Floats) -> Floats:
    known = np.isfinite(values)
    count = known.sum(-1)
    total = np.where(known, values, 0.0).sum(-1)
    return np.asarray(np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0))


def _class_agreement(
    boxes: int, values: Mapping[str, Floats], drawn: Mapping[str, Floats], groups: int
) -> ClassAgreement:
    found = {name: float(values[name]) for name in MEASURES}
    intervals = {name: percentile_interval(drawn[name], found[name], groups) for name in MEASURES}
    return ClassAgreement(boxes, **found, intervals=intervals)


def _plain(value: float) -> float | None:
    return round(value, 6) if np.isfinite(value) else None


def agreement_lines(found: Mapping[str, Any]) -> Sequence[str]:
    """A compact table for people of ``Agreement.to_json()``: one line a class, and their mean."""
    head = f"  {'':<24}{'boxes':>7}{'IoU≥.5':>9}{'IoU≥.75':>9}{'mean IoU':>10}{'missing':>9}"
    rows = [*found["classes"].items(), ("mean", found["mean"])]
    return [
        head,
        *(
            f"  {name:<24}{row['boxes']:>7}{row['iou50']:>9.1%}{row['iou75']:>9.1%}{row['mean_iou']:>10.2f}"
            f"{row['missing']:>9.1%}"
            for name, row in rows
            if row["boxes"]
        ),
    ]
