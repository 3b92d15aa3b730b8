"""The values the page's template shows, as plain text and numbers."""

import numpy as np

from millscale.core.types import Image
from millscale.metrics.bootstrap import wilson_interval
from millscale.metrics.evaluation import PER_CLASS, ClassificationMetrics
from millscale.metrics.predictions import Neighbours, PredictionTable
from millscale.report.figures.grid import grid_columns
from millscale.report.figures.lettering import lettering, visible
from millscale.report.report import AuditSummary, Protocol, Report
from millscale.report.selection import Shown, neighbours_of
from millscale.report.thumbnails import Thumbnails, data_address, shrink

NEAREST, GALLERY_SIDE = 3, 150
MOST_LISTED, MOST_PROBLEMS = 1000, 50
Values = dict[str, object]


def page_values(report: Report, shown: Shown) -> Values:
    """Everything the template names, ready to print."""
    table, metrics = report.table, report.metrics
    return {
        "title": visible(report.title),
        "answer": _answer(metrics, grouped=table.groups is not None),
        "protocol": report.protocol,
        "leak": leak_statement(report.protocol),
        "facts": _facts(metrics),
        "grid": [_judged(table, int(row), shown.thumbnails, None) for row in shown.grid],
        "confusion": _confusion(metrics),
        "classes": _classes(metrics),
        "bins": _bins(metrics),
        "folds": _folds(table),
        "gallery": [_with_nearest(table, int(row), shown.thumbnails) for row in shown.gallery],
        "across": grid_columns(len(table.classes)),
        "nearest": any(neighbours_of(table, int(row), 1) for row in shown.gallery),
        "hidden": max(0, len(table.errors) - len(shown.gallery)),
        "listed": [_listed(table, int(row)) for row in table.errors[:MOST_LISTED]],
        "audit": _audit(report.audit),
        "problems": list(report.audit.problems[:MOST_PROBLEMS]) if report.audit else [],
        "more_problems": max(0, len(report.audit.problems) - MOST_PROBLEMS) if report.audit else 0,
        "mosaic": None if report.mosaic is None else data_address(shrink(report.mosaic, 1400)),
        "details": {visible(key): visible(value) for key, value in report.details.items()},
        "stand_ins": _stand_ins(table.classes),
        "resamples": metrics.resamples,
    }


def percent(value: float) -> str:
    """A share as text with two decimals or more: what is not all never reads as 100 %; NaN is a dash."""
    if not np.isfinite(value):
        return "–"
    if value in (0.0, 1.0):
        return f"{value:.0%}".replace("%", "\u00a0%")
    for decimals in range(2, 7):
        text = f"{value:.{decimals}%}"
        if not text.startswith("100"):
            break
    return text.replace("%", "\u00a0%")


def leak_statement(protocol: Protocol) -> tuple[str, str]:
    """(level, sentence) on the leak; the level is "good", "bad" or "unknown"."""
    if protocol.leak is None:
        return ("unknown", "The leak between training and judged images was not measured.")
    if protocol.leak == 0:
        return (
            "good",
            "Measured leak: none. No judged image shares pixels with a training image of its model.",
        )
    share = f"Measured leak: {percent(protocol.leak)} of the judged images share pixels with a training image."
    return ("bad", f"{share} These figures are too good; judge by a split that keeps groups together.")


def _range(ends: tuple[float, float]) -> str:
    return f"{percent(ends[0])} – {percent(ends[1])}"


def _answer(metrics: ClassificationMetrics, *, grouped: bool) -> Values:
    errors = "No error" if not metrics.errors else f"{metrics.errors} error" + "s" * (metrics.errors != 1)
    return {
        "accuracy": percent(metrics.accuracy),
        "interval": _range(metrics.intervals["accuracy"]),
        "errors": f"{errors} in {metrics.images} images",
        "groups": f"{metrics.groups} " + ("independent groups" if grouped else "images taken as independent"),
        "perfect": not metrics.errors,
        "images": metrics.images,
        "error_count": metrics.errors,
    }


def _facts(metrics: ClassificationMetrics) -> list[Values]:
    low, high = metrics.intervals["ece"]
    return [
        {
            "name": "balanced accuracy",
            "value": percent(metrics.balanced_accuracy),
            "range": _range(metrics.intervals["balanced_accuracy"]),
        },
        {
            "name": "macro F1",
            "value": percent(metrics.macro_f1),
            "range": _range(metrics.intervals["macro_f1"]),
        },
        {"name": "calibration error", "value": f"{metrics.ece:.3f}", "range": f"{low:.3f} – {high:.3f}"},
        {"name": "classes", "value": str(len(metrics.classes)), "range": ""},
    ]


def _confusion(metrics: ClassificationMetrics) -> list[Values]:
    counts = metrics.confusion
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return [
        {
            "name": visible(name),
            "cells": [
                {
                    "count": int(counts[i, j]),
                    "kind": "hit" if i == j else "miss",
                    "strength": round(float(12 + 43 * share[i, j] if i == j else 25 + 45 * share[i, j])),
                    "title": f"{visible(name)} taken for {visible(other)}: {counts[i, j]}",
                }
                for j, other in enumerate(metrics.classes)
            ],
        }
        for i, name in enumerate(metrics.classes)
    ]


def _classes(metrics: ClassificationMetrics) -> list[Values]:
    """One row per class; ``left`` and ``width`` place the recall's interval on a scale all rows share."""
    ends = [metrics.intervals[f"recall/{name}"] for name in metrics.classes]
    start = min((low for low, _ in ends if np.isfinite(low)), default=0.0)
    start = float(np.floor(start * 20) / 20)
    span = max(1 - start, 1e-9)
    rows: list[Values] = []
    for i, (name, (low, high)) in enumerate(zip(metrics.classes, ends, strict=True)):
        row: Values = {key: percent(float(getattr(metrics.per_class, key)[i])) for key in PER_CLASS}
        row |= {
            "name": visible(name),
            "support": int(metrics.per_class.support[i]),
            "scale": f"{start:.0%}".replace("%", "\u00a0%"),
        }
        row["range"] = _range((low, high)) if np.isfinite(low) else "no image"
        if np.isfinite(low):
            row["left"] = round(100 * (low - start) / span, 2)
            row["width"] = round(100 * (high - low) / span, 2)
            row["dot"] = round(100 * (float(metrics.per_class.recall[i]) - start) / span, 2)
        rows.append(row)
    return rows


def _bins(metrics: ClassificationMetrics) -> list[Values]:
    """The used bins of the reliability diagram in per cent, with the height of their count on a log scale."""
    table = metrics.reliability
    result: list[Values] = []
    for lower, count, x, y in zip(table.edges, table.count, table.confidence, table.accuracy, strict=False):
        if count:
            low, high = wilson_interval(float(y), float(count))
            result.append(
                {
                    "x": round(100 * float(x), 2),
                    "y": round(100 * float(y), 2),
                    "low": round(100 * low, 2),
                    "high": round(100 * high, 2),
                    "edge": round(100 * float(lower), 2),
                    "height": round(float(2 + 22 * np.log10(count) / max(1.0, np.log10(table.count.max()))), 2),
                    "count": int(count),
                }
            )
    return result


def _folds(table: PredictionTable) -> list[Values]:
    if table.fold is None:
        return []
    rows: list[Values] = []
    for fold in np.unique(table.fold):
        held_out = (table.fold == fold) & (table.y_true >= 0)
        errors = int((table.predicted[held_out] != table.y_true[held_out]).sum())
        images = int(held_out.sum())
        if images:
            accuracy = percent(1 - errors / images)
            rows.append({"fold": int(fold) + 1, "images": images, "errors": errors, "accuracy": accuracy})
    return rows


def _address(image: Image | None, side: int | None) -> str | None:
    if image is None:
        return None
    return data_address(image if side is None else shrink(image, side))


def _judged(table: PredictionTable, row: int, images: Thumbnails, side: int | None) -> Values:
    truth, guess = int(table.y_true[row]), int(table.predicted[row])
    return {
        "src": _address(images.get(table.paths[row]), side),
        "guess": visible(table.classes[guess]),
        "truth": visible(table.classes[truth]),
        "right": truth == guess,
        "id": visible(table.ids[row]),
    }


def _with_nearest(table: PredictionTable, row: int, images: Thumbnails) -> Values:
    order = [int(i) for i in np.argsort(-table.probs[row], kind="stable")]
    truth = int(table.y_true[row])
    first = order[:3] if truth in order[:3] else [*order[:2], truth]
    bars = [{"name": visible(table.classes[i]), "share": round(100 * float(table.probs[row, i]), 1)} for i in first]
    return {
        **_judged(table, row, images, GALLERY_SIDE),
        "bars": bars,
        "nearest": [
            _neighbour(table.nearest, index, similarity, images, table.labels[row])
            for index, similarity in neighbours_of(table, row, NEAREST)
            if table.nearest is not None
        ],
    }


def _neighbour(near: Neighbours, index: int, similarity: float, images: Thumbnails, truth: str | None) -> Values:
    label = near.labels[index]
    return {
        "src": _address(images.get(near.paths[index]), GALLERY_SIDE),
        "label": "unlabelled" if label is None else visible(label),
        "same": label == truth,
        "similarity": f"{similarity:.2f}",
        "id": visible(near.ids[index]),
    }


def _listed(table: PredictionTable, row: int) -> Values:
    return {
        "id": visible(table.ids[row]),
        "guess": visible(table.classes[int(table.predicted[row])]),
        "truth": visible(table.labels[row] or ""),
        "confidence": percent(float(table.confidence[row])),
    }


def _audit(audit: AuditSummary | None) -> list[tuple[str, int]]:
    if audit is None:
        return []
    counts = (
        ("usable images", audit.images),
        ("independent groups", audit.groups),
        ("images in the largest group", audit.largest_group),
        ("images that overlap another", audit.overlapping_images),
        ("pairs of overlapping images", audit.overlaps),
        ("pairs of exact duplicates", audit.exact_duplicates),
        ("pairs of near-duplicates", audit.near_duplicates),
        ("doubtful labels", audit.suspect_labels),
        ("problems found", len(audit.problems)),
    )
    return [(name, count) for name, count in counts if count is not None]


def _stand_ins(classes: tuple[str, ...]) -> list[tuple[str, str]]:
    """Names that the PNG files could not draw, with what stands there instead."""
    pairs = zip(lettering(classes).names, map(visible, classes), strict=True)
    return [(drawn, name) for drawn, name in pairs if drawn != name]
