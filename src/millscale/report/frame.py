"""What the pages of all reports share: the protocol, the data, the run, and how numbers are written."""

from collections.abc import Sequence

import numpy as np

from millscale.metrics.classification import Ints
from millscale.report.figures.lettering import lettering, visible
from millscale.report.report import (
    AnomalyReport,
    AuditSummary,
    ClusterReport,
    DetectionReport,
    Protocol,
    Report,
)
from millscale.report.thumbnails import data_address, shrink

MOST_PROBLEMS = 50
Values = dict[str, object]


def frame_values(report: Report | DetectionReport | AnomalyReport) -> Values:
    """What the skeleton of a page on a model names, ready to print."""
    return {
        **data_values(report),
        "protocol": report.protocol,
        "leak": leak_statement(report.protocol),
        "mosaic": None if report.mosaic is None else data_address(shrink(report.mosaic, 1400)),
        "stand_ins": _stand_ins(report.table.classes),
        "resamples": report.metrics.resamples,
    }


def data_values(report: Report | DetectionReport | AnomalyReport | ClusterReport) -> Values:
    """What the skeleton of every page names of the data and the run."""
    problems = report.audit.problems if report.audit else ()
    return {
        "title": visible(report.title),
        "audit": _audit(report.audit),
        "problems": list(problems[:MOST_PROBLEMS]),
        "more_problems": max(0, len(problems) - MOST_PROBLEMS),
        "details": {visible(key): visible(value) for key, value in report.details.items()},
    }


def percent(value: float, decimals: int = 2) -> str:
    """A share as text with ``decimals`` or more: what is not all never reads as 100 %; NaN is a dash."""
    if not np.isfinite(value):
        return "–"
    if value in (0.0, 1.0):
        return f"{value:.0%}".replace("%", "\u00a0%")
    for places in range(decimals, 7):
        text = f"{value:.{places}%}"
        if not text.startswith("100"):
            break
    return text.replace("%", "\u00a0%")


def extent(ends: tuple[float, float], decimals: int = 2) -> str:
    """An interval of shares as text."""
    return f"{percent(ends[0], decimals)} – {percent(ends[1], decimals)}"


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


def confusion_rows(names: Sequence[str], counts: Ints) -> list[Values]:
    """The confusion matrix ``(C, C)`` row by row; ``strength`` in per cent tints a cell."""
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
                for j, other in enumerate(names)
            ],
        }
        for i, name in enumerate(names)
    ]


def tracks(ends: Sequence[tuple[float, float]], dots: Sequence[float]) -> list[Values]:
    """Where to draw intervals and their numbers on one scale that ends at 1, in per cent of its length.

    ``left`` and ``width`` are absent where a number is undefined; ``scale`` is what the scale starts at.
    """
    start = min((low for low, _ in ends if np.isfinite(low)), default=0.0)
    start = float(np.floor(start * 20) / 20)
    span = max(1 - start, 1e-9)
    rows: list[Values] = []
    for (low, high), dot in zip(ends, dots, strict=True):
        row: Values = {"scale": f"{start:.0%}".replace("%", "\u00a0%")}
        if np.isfinite(low):
            row["left"] = round(100 * (low - start) / span, 2)
            row["width"] = round(100 * (high - low) / span, 2)
            row["dot"] = round(100 * (float(dot) - start) / span, 2)
        rows.append(row)
    return rows


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
