"""The values that the page of a classifier shows, as plain text and numbers."""

import numpy as np

from millscale.core.types import Image
from millscale.metrics.bootstrap import wilson_interval
from millscale.metrics.evaluation import PER_CLASS, ClassificationMetrics
from millscale.metrics.predictions import Neighbours, PredictionTable
from millscale.report.figures.grid import grid_columns
from millscale.report.figures.lettering import visible
from millscale.report.frame import Values, confusion_rows, extent, frame_values, percent, tracks
from millscale.report.report import Report
from millscale.report.selection import Shown, neighbours_of
from millscale.report.thumbnails import Thumbnails, data_address, shrink

NEAREST, GALLERY_SIDE = 3, 150
MOST_LISTED = 1000


def page_values(report: Report, shown: Shown) -> Values:
    """Everything the template names, ready to print."""
    table, metrics = report.table, report.metrics
    return {
        **frame_values(report),
        "answer": _answer(metrics, grouped=table.groups is not None),
        "facts": _facts(metrics),
        "grid": [_judged(table, int(row), shown.thumbnails, None) for row in shown.grid],
        "confusion": confusion_rows(metrics.classes, metrics.confusion),
        "classes": _classes(metrics),
        "bins": _bins(metrics),
        "folds": _folds(table),
        "gallery": [_with_nearest(table, int(row), shown.thumbnails) for row in shown.gallery],
        "across": grid_columns(len(table.classes)),
        "nearest": any(neighbours_of(table, int(row), 1) for row in shown.gallery),
        "hidden": max(0, len(table.errors) - len(shown.gallery)),
        "listed": [_listed(table, int(row)) for row in table.errors[:MOST_LISTED]],
    }


def _answer(metrics: ClassificationMetrics, *, grouped: bool) -> Values:
    errors = "No error" if not metrics.errors else f"{metrics.errors} error" + "s" * (metrics.errors != 1)
    return {
        "accuracy": percent(metrics.accuracy),
        "interval": extent(metrics.intervals["accuracy"]),
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
            "range": extent(metrics.intervals["balanced_accuracy"]),
        },
        {
            "name": "macro F1",
            "value": percent(metrics.macro_f1),
            "range": extent(metrics.intervals["macro_f1"]),
        },
        {
            "name": "calibration error",
            "value": f"{metrics.ece:.3f}",
            "range": f"{low:.3f} – {high:.3f}" if low <= high else "–",
        },
        {"name": "classes", "value": str(len(metrics.classes)), "range": ""},
    ]


def _classes(metrics: ClassificationMetrics) -> list[Values]:
    """One row per class with its recall's interval on a scale that all rows share."""
    ends = [metrics.intervals[f"recall/{name}"] for name in metrics.classes]
    placed = tracks(ends, metrics.per_class.recall.tolist())
    return [
        {
            **track,
            **{key: percent(float(getattr(metrics.per_class, key)[i])) for key in PER_CLASS},
            "name": visible(name),
            "support": int(metrics.per_class.support[i]),
            "range": extent(ends[i]) if np.isfinite(ends[i][0]) else "no image",
        }
        for i, (name, track) in enumerate(zip(metrics.classes, placed, strict=True))
    ]


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
