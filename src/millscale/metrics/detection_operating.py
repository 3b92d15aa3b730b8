"""Rates at the operating thresholds, each from sums over images, so that a resample is one row of weights."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from millscale.metrics.bootstrap import group_sums, percentile_interval, proportion_interval, resampled_sums
from millscale.metrics.classification import Floats, Ints, ratio
from millscale.metrics.detection_coverage import covered_areas
from millscale.metrics.detection_match import Flags
from millscale.metrics.detection_rates import shown_classes

if TYPE_CHECKING:
    from millscale.metrics.detections import DetectionTable

Interval = tuple[float, float]


@dataclass(frozen=True, eq=False)
class OperatingRates:
    """Rates in [0, 1], NaN where undefined; leading axes (bootstrap resamples) are kept.

    Attributes:
        image_recall: ``(…, C)`` share of the images showing a class in which a box of it is found, wherever.
        image_false_alarm_rate: ``(…, C)`` share of the images not showing it in which one is found. Images with
            only ``difficult`` boxes of the class take no part in either.
        coverage_recall: ``(…, C)`` share of the true boxes' union, in pixels over all images, that found boxes
            of the class cover.
        coverage_precision: ``(…, C)`` share of the found boxes' union that lies on true ones.
        coverage_iou: ``(…, C)`` the area of both unions' intersection over that of their union.
        escape_rate: ``(…)`` share of the images with true boxes in which nothing at all is found.
        overkill_rate: ``(…)`` share of the images without any true box in which something is.
    """

    image_recall: Floats
    image_false_alarm_rate: Floats
    coverage_recall: Floats
    coverage_precision: Floats
    coverage_iou: Floats
    escape_rate: Floats
    overkill_rate: Floats


@dataclass(frozen=True, eq=False)
class _Seen:
    """What takes part and what was found: per class ``(N, C)``, then of whole images ``(N, 1)``."""

    shows: Flags
    lacks: Flags
    found: Flags
    defective: Flags
    clean: Flags
    any_found: Flags


def operating_rates(
    table: "DetectionTable", group: Ints, *, seed: int, resamples: int
) -> tuple[OperatingRates, dict[str, Interval]]:
    """The rates of a table that holds only boxes at their thresholds, with 95 % intervals over groups.

    Args:
        table: see :func:`millscale.metrics.detection_rates.at_thresholds`.
        group: ``(N,)`` each image's group in [0, G).
        seed: of the bootstrap.
        resamples: number of draws.
    """
    seen = _seen(table)
    sums = group_sums(_columns(seen, covered_areas(table)), group)
    point = _rates(sums.sum(0), len(table.classes))
    drawn = _rates(resampled_sums(sums, seed=seed, resamples=resamples), len(table.classes))
    return point, _intervals(table.classes, point, drawn, seen, group)


def _seen(table: "DetectionTable") -> _Seen:
    shows, marked = shown_classes(table.truth, len(table.classes))
    _, found = shown_classes(table.found, len(table.classes))
    whole = [np.asarray(flags.any(1, keepdims=True)) for flags in (shows, marked, found)]
    return _Seen(shows, ~marked, found, whole[0], ~whole[1], whole[2])


def _columns(seen: _Seen, areas: Floats) -> Floats:
    """What each image adds to the sums ``(N, 7 C + 4)`` from which every rate follows."""
    flags = [seen.shows, seen.shows & seen.found, seen.lacks, seen.lacks & seen.found]
    whole = [seen.defective, seen.defective & ~seen.any_found, seen.clean, seen.clean & seen.any_found]
    return np.hstack([*flags, *np.moveaxis(areas, 2, 0), *whole]).astype(np.float64)


def _rates(sums: Floats, classes: int) -> OperatingRates:
    """The rates of sums ``(…, 7 C + 4)``."""
    parts = np.split(sums, np.arange(1, 8) * classes, axis=-1)
    shows, hits, lacks, alarms, truth, found, both, whole = parts
    return OperatingRates(
        image_recall=ratio(hits, shows),
        image_false_alarm_rate=ratio(alarms, lacks),
        coverage_recall=ratio(both, truth),
        coverage_precision=ratio(both, found),
        coverage_iou=ratio(both, truth + found - both),
        escape_rate=ratio(whole[..., 1], whole[..., 0]),
        overkill_rate=ratio(whole[..., 3], whole[..., 2]),
    )


def _intervals(
    classes: tuple[str, ...], point: OperatingRates, drawn: OperatingRates, seen: _Seen, group: Ints
) -> dict[str, Interval]:
    """Proportions of images are widened where events are rare; shares of area are not proportions of anything."""
    result = {}
    taking_part = {"image_recall": seen.shows, "image_false_alarm_rate": seen.lacks}
    for key in (field.name for field in fields(OperatingRates)):
        values, estimates = getattr(drawn, key), getattr(point, key)
        for index, name in enumerate(classes if estimates.ndim else ()):
            one, estimate = values[:, index], float(estimates[index])
            if key in taking_part:
                mask = taking_part[key][:, index]
                ends = proportion_interval(one, estimate, seen.found[mask, index], group[mask])
            else:
                ends = percentile_interval(one, estimate, int(group.max()) + 1)
            result[f"{key}/{name}"] = ends
    for key, mask, event in (
        ("escape_rate", seen.defective[:, 0], ~seen.any_found[:, 0]),
        ("overkill_rate", seen.clean[:, 0], seen.any_found[:, 0]),
    ):
        estimate = float(getattr(point, key))
        result[key] = proportion_interval(getattr(drawn, key), estimate, event[mask], group[mask])
    return result
