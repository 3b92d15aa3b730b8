"""The values that the page of an anomaly detector shows, as plain text and numbers."""

from collections.abc import Sequence

import numpy as np

from millscale.metrics.anomaly import AnomalyMetrics, AnomalyTable
from millscale.metrics.classification import Floats
from millscale.report.anomaly_selection import GOOD, Case, ShownCases
from millscale.report.drawn_boxes import class_color
from millscale.report.figures.cases import caption, unnamed
from millscale.report.figures.lettering import visible
from millscale.report.figures.scores import told
from millscale.report.frame import Values, extent, frame_values, percent, tracks
from millscale.report.report import AnomalyReport
from millscale.report.score_rows import ScoreRows
from millscale.report.thumbnails import data_address

UNKNOWN = (float("nan"), float("nan"))
_WORDS = {
    "auroc": "AUROC",
    "aupro": "AUPRO",
    "escape_rate": "defective images that pass",
    "overkill_rate": "good images rejected",
    "average_precision": "average precision",
    "fpr95": "rejected of the good where 95\u00a0% of the defective are",
    "pixel_auroc": "pixel AUROC",
    "aupro_05": "AUPRO to a rate of .05",
}
_ANSWERS = ("auroc", "aupro", "escape_rate", "overkill_rate")


def anomaly_values(report: AnomalyReport, shown: ShownCases, rows: ScoreRows) -> Values:
    """Everything the template names, ready to print."""
    table, metrics = report.table, report.metrics
    defined = [key for key in _WORDS if getattr(metrics, key) is not None]
    answers = [key for key in _ANSWERS if key in defined][:2]
    return {
        **frame_values(report),
        "answers": [_figure(metrics, key) for key in answers],
        "basis": _basis(metrics, grouped=table.groups is not None),
        "facts": [_figure(metrics, key) for key in defined if key not in answers],
        "limit": f"{metrics.aupro_limit:.2g}".lstrip("0") if metrics.aupro is not None else "",
        "threshold": f"{metrics.threshold:.4g}",
        "scores": _histograms(rows),
        "ticks": [{"x": round(_across(rows, place), 2), "text": text} for place, text in rows.ticks],
        "middle": round(_across(rows, 0.5), 2),
        "curves": _curves(table, metrics),
        "point": _point(metrics),
        "classes": _kinds(table, metrics),
        "sample": [_pictured(table, case) for case in shown.sample],
        "escapes": [_pictured(table, case) for case in shown.escapes],
        "alarms": [_pictured(table, case) for case in shown.alarms],
        "escape_images": shown.escape_images,
        "alarm_images": shown.alarm_images,
        "defective": metrics.defective,
        "good": metrics.images - metrics.defective,
        "outlined": any(case.overlay is not None for case in (*shown.sample, *shown.escapes, *shown.alarms)),
    }


def _figure(metrics: AnomalyMetrics, key: str) -> Values:
    value, ends = getattr(metrics, key), metrics.intervals[key]
    return {"name": _WORDS[key], "value": percent(value, 1), "range": extent(ends, 1)}


def _basis(metrics: AnomalyMetrics, *, grouped: bool) -> str:
    groups = f"{metrics.groups} " + ("independent groups" if grouped else "images taken as independent")
    return f"{metrics.defective} defective and {metrics.images - metrics.defective} good images, {groups}"


def _across(rows: ScoreRows, place: float) -> float:
    """A place of the histograms' axis in per cent of its length."""
    return float(100 * (place - rows.edges[0]) / (rows.edges[-1] - rows.edges[0]))


def _histograms(rows: ScoreRows) -> list[Values]:
    width = 100 / (len(rows.edges) - 1)
    return [
        {
            "name": visible(row.name),
            "color": row.color,
            "told": told(row),
            "bars": [
                {"x": round(i * width, 3), "width": round(width, 3), "height": round(float(16 * count / top), 3)}
                for i, count in enumerate(row.counts.tolist())
                if count
            ],
        }
        for row in rows.rows
        for top in (int(row.counts.max()),)
    ]


def _curves(table: AnomalyTable, metrics: AnomalyMetrics) -> list[Values]:
    """ROC curves in per cent, the one of all defects last; none without both sides."""
    if metrics.auroc is None:
        return []
    kinds = [
        {"name": visible(kind), "color": class_color(i), "points": _points(*table.roc(kind)), "strong": False}
        for i, kind in enumerate(table.classes)
    ]
    return [*kinds, {"name": "all defects", "color": "var(--ink)", "points": _points(*table.roc()), "strong": True}]


def _points(x: Floats, y: Floats) -> str:
    """A line through the corners of the curve alone: those that differ in print."""
    pairs = dict.fromkeys(f"{100 * a:.1f},{100 - 100 * b:.1f}" for a, b in zip(x, y, strict=True))
    return " ".join(pairs)


def _point(metrics: AnomalyMetrics) -> Values | None:
    if metrics.escape_rate is None or metrics.overkill_rate is None:
        return None
    x, y = metrics.overkill_rate, 1 - metrics.escape_rate
    tip = f"at the threshold: {percent(y, 1)} of the defective and {percent(x, 1)} of the good images rejected"
    return {"x": round(100 * x, 2), "y": round(100 * metrics.escape_rate, 2), "tip": tip}


def _kinds(table: AnomalyTable, metrics: AnomalyMetrics) -> list[Values]:
    """One row per kind with its AUROC's interval on a scale that all rows share."""
    ends = [metrics.intervals.get(f"auroc/{kind}", UNKNOWN) for kind in table.classes]
    values = [np.nan if one is None else one for one in metrics.auroc_by_kind.values()]
    passing = table.scores < metrics.threshold
    return [
        {
            **track,
            "name": visible(kind),
            "color": class_color(i),
            "images": metrics.kinds[kind],
            "passing": int((table.of_kind(kind) & passing).sum()),
            "auroc": percent(values[i], 1),
            "range": extent(ends[i], 1) if np.isfinite(ends[i][0]) else "no good image",
        }
        for i, (kind, track) in enumerate(zip(table.classes, tracks(ends, values), strict=True))
    ]


def _pictured(table: AnomalyTable, case: Case) -> Values:
    pictures: Sequence[object] = [None if one is None else data_address(one) for one in (case.image, case.overlay)]
    return {
        "src": pictures[0],
        "overlay": pictures[1],
        "id": visible(table.ids[case.row]),
        "name": visible(table.classes[case.index]) if case.index != GOOD else unnamed(case),
        "color": class_color(case.index) if case.index != GOOD else "inherit",
        "caption": caption(case),
        "right": case.defective == case.rejected,
    }
