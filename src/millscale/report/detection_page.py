"""The values that the page of a detector shows, as plain text and numbers."""

from collections.abc import Sequence

import numpy as np

from millscale.metrics.detection import BACKGROUND, DetectionMetrics
from millscale.metrics.detection_ap import RECALLS
from millscale.report.detection_selection import Shot, ShownBoxes
from millscale.report.drawn_boxes import class_color, drawn_boxes, text_height
from millscale.report.figures.lettering import visible
from millscale.report.frame import Values, confusion_rows, extent, frame_values, percent, tracks
from millscale.report.report import DetectionReport
from millscale.report.thumbnails import data_address

RATES = (
    "image_recall",
    "image_false_alarm_rate",
    "coverage_recall",
    "coverage_precision",
    "coverage_iou",
)


def detection_values(report: DetectionReport, shown: ShownBoxes) -> Values:
    """Everything the template names, ready to print."""
    metrics = report.metrics
    return {
        **frame_values(report),
        "answer": _answer(metrics, grouped=report.table.groups is not None),
        "facts": _facts(metrics),
        "legend": [{"name": visible(name), "color": class_color(i)} for i, name in enumerate(metrics.classes)],
        "sample": _by_class(shown, metrics.classes),
        "misses": [_pictured(shown, shot, metrics.classes) for shot in shown.misses],
        "alarms": [_pictured(shown, shot, metrics.classes) for shot in shown.alarms],
        "missed_images": shown.missed_images,
        "alarm_images": shown.alarm_images,
        "curves": _curves(metrics),
        "confusion": confusion_rows([*metrics.classes, BACKGROUND], metrics.confusion),
        "classes": _classes(metrics),
        "rates": _rates(metrics),
        "unchosen": [visible(name) for name in metrics.unchosen],
    }


def _answer(metrics: DetectionMetrics, *, grouped: bool) -> Values:
    return {
        "map50": percent(metrics.map50, 1),
        "map50_interval": extent(metrics.intervals["map50"], 1),
        "map50_95": percent(metrics.map50_95, 1),
        "map50_95_interval": extent(metrics.intervals["map50_95"], 1),
        "boxes": int(metrics.truths.sum()),
        "images": metrics.images,
        "groups": f"{metrics.groups} " + ("independent groups" if grouped else "images taken as independent"),
    }


def _facts(metrics: DetectionMetrics) -> list[Values]:
    facts: list[Values] = []
    for key, name in (
        ("escape_rate", "defective images with nothing found"),
        ("overkill_rate", "clean images with a find"),
    ):
        value = float(getattr(metrics.rates, key))
        if np.isfinite(value):
            ends = extent(metrics.intervals[key], 1)
            facts.append({"name": name, "value": percent(value, 1), "range": ends})
    for key, name in (("image_recall", "image recall"), ("coverage_iou", "covered area, IoU")):
        mean = np.nanmean(values) if np.isfinite(values := getattr(metrics.rates, key)).any() else np.nan
        facts.append({"name": name, "value": percent(float(mean), 1), "range": "mean over the classes"})
    return facts


def _classes(metrics: DetectionMetrics) -> list[Values]:
    """One row per class with its AP50's interval on a scale that all rows share."""
    ends = [metrics.intervals[f"ap50/{name}"] for name in metrics.classes]
    return [
        {
            **track,
            "name": visible(name),
            "color": class_color(i),
            "truths": int(metrics.truths[i]),
            "ap50": percent(float(metrics.ap50[i]), 1),
            "ap50_95": percent(float(metrics.ap50_95[i]), 1),
            "range": extent(ends[i], 1) if np.isfinite(ends[i][0]) else "no box",
        }
        for i, (name, track) in enumerate(zip(metrics.classes, tracks(ends, metrics.ap50.tolist()), strict=True))
    ]


def _rates(metrics: DetectionMetrics) -> list[Values]:
    """One row per class with what was measured at its operating threshold."""
    rows: list[Values] = []
    for i, name in enumerate(metrics.classes):
        cells = [{"value": percent(float(values[i]), 1), "range": ""} for values in _box_rates(metrics)]
        for key in RATES:
            value, ends = float(getattr(metrics.rates, key)[i]), metrics.intervals[f"{key}/{name}"]
            defined = np.isfinite(value)
            cells.append({"value": percent(value, 1), "range": extent(ends, 1) if defined else ""})
        rows.append({"name": visible(name), "threshold": f"{metrics.thresholds[i]:.2f}", "cells": cells})
    return rows


def _box_rates(metrics: DetectionMetrics) -> Sequence[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    return (metrics.box_precision, metrics.box_recall)


def _curves(metrics: DetectionMetrics) -> list[Values]:
    """Precision over recall in per cent, up to the recall reached, with the operating point."""
    curves: list[Values] = []
    for i, name in enumerate(metrics.classes):
        precision = metrics.curve_precision[i]
        reached = np.flatnonzero(precision > 0)
        if len(reached):
            pairs = zip(RECALLS[reached], precision[reached], strict=True)
            points = " ".join(f"{100 * x:.0f},{100 - 100 * y:.2f}" for x, y in pairs)
            curves.append({"name": visible(name), "color": class_color(i), "points": points, **_point(metrics, i)})
    return curves


def _point(metrics: DetectionMetrics, i: int) -> Values:
    x, y = float(metrics.box_recall[i]), float(metrics.box_precision[i])
    if not np.isfinite(y):
        return {}
    tip = f"{visible(metrics.classes[i])} at its threshold: precision {percent(y, 1)}, recall {percent(x, 1)}"
    return {"x": round(100 * x, 2), "y": round(100 - 100 * y, 2), "tip": tip}


def _by_class(shown: ShownBoxes, classes: Sequence[str]) -> list[Values]:
    return [
        {"name": visible(name), "shots": [_pictured(shown, shot, classes) for shot in shown.sample if shot.index == i]}
        for i, name in enumerate(classes)
        if any(shot.index == i for shot in shown.sample)
    ]


def _pictured(shown: ShownBoxes, shot: Shot, classes: Sequence[str]) -> Values:
    table, size = shown.operating, shown.operating.sizes[shot.row]
    image = shown.thumbnails.get(table.paths[shot.row])
    return {
        "src": None if image is None else data_address(image),
        "id": visible(table.ids[shot.row]),
        "name": visible(classes[shot.index]),
        "color": class_color(shot.index),
        "caption": visible(shot.caption),
        "height": size[0],
        "width": size[1],
        "text": round(text_height(size), 2),
        "boxes": drawn_boxes(
            table.truth[shot.row],
            table.found[shot.row],
            size,
            [visible(name) for name in classes],
            missed=shot.missed,
            alarms=shot.alarms,
        ),
    }
