"""One entry: a table of found boxes in, every detection number with its interval out.

Mean average precision is COCO's (Lin et al., "Microsoft COCO: common objects in context", ECCV 2014), computed by
faster-coco-eval: all areas, at most 100 boxes a class and image, 101 recall points, IoU .50 to .95 in steps of
.05. Boxes marked ``difficult`` are COCO's ignore regions (``iscrowd``): missing one is no miss, and a found box
that lies in one by the IoU threshold's share of its own area is no false alarm.

IoU is a poor judge of texture: where a patch of crazing ends is a matter of taste, and two people who draw the
same pixels agree to IoU .5 in two cases of three. So the table is also judged at its operating thresholds by
what does not hang on the extent: whether an image's classes are told, and which pixels are covered.

The rule for classes without truth is that of classification: their numbers are undefined (NaN here, ``null`` in
JSON) and they take no part in the means.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import DataError
from millscale.metrics.bootstrap import RARE, group_index, percentile_interval, proportion_interval
from millscale.metrics.classification import Floats, Ints, ratio
from millscale.metrics.detection_ap import RECALLS, resampled_ap
from millscale.metrics.detection_coco import coco_curves
from millscale.metrics.detection_match import ClassMatches, class_matches
from millscale.metrics.detection_operating import Interval, OperatingRates, operating_rates
from millscale.metrics.detection_rates import at_thresholds, box_confusion
from millscale.metrics.detection_thresholds import UNSEEN

if TYPE_CHECKING:
    from millscale.metrics.detections import DetectionTable

BACKGROUND = "background"


@dataclass(frozen=True, eq=False)
class DetectionMetrics:
    """Every number of one detector on one set of images.

    Attributes:
        classes: C class names.
        images: N, all of them annotated.
        groups: how many independent groups they form.
        truths: ``(C,)`` int64, boxes to be found, ``difficult`` ones left out.
        map50, map50_95: in [0, 1], means over the classes that occur in the truth; NaN without any truth.
        ap50, ap50_95: ``(C,)`` float64, NaN for a class without truth.
        curve_precision: ``(C, 101)`` float64, interpolated precision at IoU .5 at recalls 0, .01, …, 1; 0 beyond
            the recall reached; NaN for a class without truth.
        curve_score: ``(C, 101)`` float64, the score at which that recall is reached; NaN beyond.
        thresholds: ``(C,)`` float64, the operating thresholds.
        limits: ``(N, C)`` float64, the thresholds that each image was judged at, and all below with it: the operating
            ones, or where those were chosen on these very images, others chosen without it.
        box_precision, box_recall: ``(C,)`` float64, of single boxes at IoU .5; NaN where undefined.
        rates: of whole images and of covered area.
        confusion: ``(C + 1, C + 1)`` int64, boxes matched at IoU .5 whatever their class; rows are the truth with
            the background last (false alarms), columns what was found with the background last (misses).
        intervals: 95 % intervals over groups by key: ``map50``, ``map50_95``, ``escape_rate``, ``overkill_rate``
            and ``ap50/<class>``, likewise ``ap50_95`` and the other rates; (NaN, NaN) where undefined.
        seed, resamples: of the bootstrap.
    """

    classes: tuple[str, ...]
    images: int
    groups: int
    truths: Ints
    map50: float
    map50_95: float
    ap50: Floats
    ap50_95: Floats
    curve_precision: Floats
    curve_score: Floats
    thresholds: Floats
    limits: Floats
    box_precision: Floats
    box_recall: Floats
    rates: OperatingRates
    confusion: Ints
    intervals: dict[str, Interval]
    seed: int
    resamples: int

    @property
    def unchosen(self) -> tuple[str, ...]:
        """The classes whose threshold stands where it stands when no image can choose it, see `choose_thresholds`."""
        return tuple(name for name, limit in zip(self.classes, self.thresholds, strict=True) if limit == UNSEEN)

    def to_json(self) -> dict[str, object]:
        """A document of plain numbers, lists and dicts; what is undefined is None."""
        return {
            "images": self.images,
            "groups": self.groups,
            "map50": _number(self.map50),
            "map50_95": _number(self.map50_95),
            "ap50": self._by_class(self.ap50),
            "ap50_95": self._by_class(self.ap50_95),
            "escape_rate": _number(float(self.rates.escape_rate)),
            "overkill_rate": _number(float(self.rates.overkill_rate)),
            "thresholds": self._by_class(self.thresholds),
            "thresholds_unchosen": list(self.unchosen),
            "thresholds_crossfitted": not bool((self.limits == self.thresholds).all()),
            "per_class": {name: self._class_json(i) for i, name in enumerate(self.classes)},
            "classes": list(self.classes),
            "confusion": self.confusion.tolist(),
            "confusion_names": [*self.classes, BACKGROUND],
            "curves": {
                "recall": RECALLS.round(2).tolist(),
                "precision": {name: _numbers(self.curve_precision[i]) for i, name in enumerate(self.classes)},
                "score": {name: _numbers(self.curve_score[i]) for i, name in enumerate(self.classes)},
            },
            "intervals": {key: [_number(end) for end in ends] for key, ends in self.intervals.items()},
            "interval_method": {
                "name": "percentile bootstrap over groups, widened to Wilson by groups where errors are rare",
                "level": 0.95,
                "resamples": self.resamples,
                "seed": self.seed,
            },
        }

    def _by_class(self, values: Floats) -> dict[str, float | None]:
        return dict(zip(self.classes, _numbers(values), strict=True))

    def _class_json(self, index: int) -> dict[str, object]:
        rates = {field.name: getattr(self.rates, field.name) for field in fields(OperatingRates)}
        return {
            "truths": int(self.truths[index]),
            "box_precision": _number(float(self.box_precision[index])),
            "box_recall": _number(float(self.box_recall[index])),
            **{key: _number(float(values[index])) for key, values in rates.items() if values.ndim},
        }


def evaluate_detection(
    table: "DetectionTable",
    *,
    thresholds: Mapping[str, float],
    limits: Floats | None = None,
    seed: int = 0,
    resamples: int = 1000,
) -> DetectionMetrics:
    """Every detection number with its 95 % interval over groups.

    Args:
        table: annotations and found boxes.
        thresholds: the operating threshold of each class.
        limits: ``(N, C)`` what each image is judged at instead, where ``thresholds`` were chosen on these very
            images (``crossfit_thresholds``).
        seed: of the bootstrap.
        resamples: number of bootstrap draws.

    Raises:
        DataError: a class without threshold, or a threshold outside [0, 1].
        UsageError: faster-coco-eval is not installed.
    """
    operating_point = _limits(table.classes, thresholds)
    judged_at = np.broadcast_to(operating_point if limits is None else limits, (len(table), len(table.classes)))
    precision, scores = coco_curves(table)
    ap, group = precision.mean(1), group_index(table.groups, len(table))
    matches = [class_matches(table, index) for index in range(len(table.classes))]
    drawn = np.stack([resampled_ap(one, group, seed=seed, resamples=resamples) for one in matches], axis=2)
    operating = at_thresholds(table, judged_at)
    rates, rate_intervals = operating_rates(operating, group, seed=seed, resamples=resamples)
    box_precision, box_recall = _box_rates(matches, judged_at)
    return DetectionMetrics(
        classes=table.classes,
        images=len(table),
        groups=int(group.max()) + 1,
        truths=np.array([one.truths.sum() for one in matches], dtype=np.int64),
        map50=float(_mean(ap[0])),
        map50_95=float(_mean(ap.mean(0))),
        ap50=ap[0],
        ap50_95=ap.mean(0),
        curve_precision=precision[0].T,
        curve_score=scores[0].T,
        thresholds=operating_point,
        limits=judged_at,
        box_precision=box_precision,
        box_recall=box_recall,
        rates=rates,
        confusion=box_confusion(operating),
        intervals={**_ap_intervals(table.classes, ap, drawn, matches, group), **rate_intervals},
        seed=seed,
        resamples=resamples,
    )


def _limits(classes: Sequence[str], thresholds: Mapping[str, float]) -> Floats:
    missing = [name for name in classes if name not in thresholds]
    if missing:
        raise DataError(
            f"Expected a threshold for each of {', '.join(classes)}, found none for {', '.join(missing)}; "
            "take those of the bundle's card, or choose_thresholds on out-of-fold boxes."
        )
    limits = np.array([thresholds[name] for name in classes], dtype=np.float64)
    if not ((limits >= 0) & (limits <= 1)).all():
        raise DataError(f"Expected thresholds in [0, 1], found {limits.tolist()}; they are scores.")
    return limits


def _box_rates(matches: Sequence[ClassMatches], limits: Floats) -> tuple[Floats, Floats]:
    """Precision and recall ``(C,)`` at IoU .5 of the boxes that reach their threshold, ``(N, C)``."""
    counts = np.zeros((3, len(matches)))
    for index, one in enumerate(matches):
        passing = (one.score >= limits[one.image, index].astype(np.float32)) & ~one.ignored[0]
        counts[:, index] = one.hit[0, passing].sum(), passing.sum(), one.truths.sum()
    return ratio(counts[0], counts[1]), ratio(counts[0], counts[2])


def _mean(ap: Floats) -> Floats:
    """The mean ``(…)`` of ``ap`` ``(…, C)`` over the classes where it is defined."""
    defined = np.isfinite(ap)
    return np.asarray(ratio(np.where(defined, ap, 0.0).sum(-1), defined.sum(-1).astype(np.float64)))


def _ap_intervals(
    classes: Sequence[str], ap: Floats, drawn: Floats, matches: Sequence[ClassMatches], group: Ints
) -> dict[str, Interval]:
    """Intervals of AP ``(10, C)`` from resamples ``(R, 10, C)``.

    AP is no proportion, but near 1, where the widening for rare errors acts, it moves as the share of images does
    in which every box is found.
    """
    shown = np.stack([one.truths > 0 for one in matches])
    whole = np.stack([_all_hit(one) for one in matches])
    result: dict[str, Interval] = {}
    for key, values, estimate in (("50", drawn[:, 0], ap[0]), ("50_95", drawn.mean(1), ap.mean(0))):
        taking, right = np.asarray(shown.any(0)), np.asarray(whole.all(0))
        mean = float(_mean(estimate))
        result[f"map{key}"] = _ap_interval(_mean(values), mean, right[taking], group[taking])
        for i, name in enumerate(classes):
            right, taking = whole[i], shown[i]
            one = float(estimate[i])
            result[f"ap{key}/{name}"] = _ap_interval(values[:, i], one, right[taking], group[taking])
    return result


def _ap_interval(values: Floats, estimate: float, right: NDArray[np.bool_], group: Ints) -> Interval:
    """Of an AP near 0 or 1 as of a proportion; elsewhere the resamples say enough, even where all boxes are hit."""
    if min(estimate, 1 - estimate) * len(np.unique(group)) >= RARE:
        return percentile_interval(values, estimate)
    return proportion_interval(values, estimate, right, group)


def _all_hit(matches: ClassMatches) -> NDArray[np.bool_]:
    """Whether all true boxes of each image ``(N,)`` are found at IoU .5 by boxes of any score."""
    hits = np.bincount(matches.image[matches.hit[0]], minlength=len(matches.truths))
    return np.asarray(hits == matches.truths)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _numbers(values: Floats) -> list[float | None]:
    return [_number(float(value)) for value in values]
