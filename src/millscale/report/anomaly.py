"""An anomaly detector's report: its page and its figures."""

import numpy as np
from matplotlib.figure import Figure

from millscale.metrics.anomaly import AnomalyMetrics
from millscale.report.anomaly_page import UNKNOWN, anomaly_values
from millscale.report.anomaly_selection import ShownCases, choose_cases
from millscale.report.figures.cases import draw_cases
from millscale.report.figures.per_class import Series, draw_per_class
from millscale.report.figures.roc import draw_roc
from millscale.report.figures.scores import draw_scores
from millscale.report.frame import Values
from millscale.report.report import AnomalyReport
from millscale.report.score_rows import score_rows


def anomaly_contents(report: AnomalyReport) -> tuple[Values, dict[str, Figure]]:
    """What the page says and the figures beside it by name, the images read from disk once."""
    table, metrics = report.table, report.metrics
    shown = choose_cases(table, metrics.threshold, report.maps)
    rows = score_rows(table, metrics.threshold)
    figures = {"scores": draw_scores(rows)}
    if metrics.auroc is not None:
        figures["roc"] = draw_roc(table, metrics)
    if metrics.auroc is not None and table.classes:
        figures["per-class"] = _per_kind(metrics)
    headings = case_headings(shown, metrics)
    for name, cases in (("found", shown.sample), ("escapes", shown.escapes), ("false-alarms", shown.alarms)):
        if cases:
            figures[name] = draw_cases(table, cases, headings[name])
    return anomaly_values(report, shown, rows), figures


def _per_kind(metrics: AnomalyMetrics) -> Figure:
    kinds = tuple(metrics.auroc_by_kind)
    values = np.array([np.nan if value is None else value for value in metrics.auroc_by_kind.values()])
    ends = {f"auroc/{kind}": metrics.intervals.get(f"auroc/{kind}", UNKNOWN) for kind in kinds}
    return draw_per_class(kinds, [Series("auroc", "AUROC", values)], ends)


def case_headings(shown: ShownCases, metrics: AnomalyMetrics) -> dict[str, str]:
    """One line above each gallery."""
    good = metrics.images - metrics.defective
    passing, rejected = shown.escape_images, shown.alarm_images
    beside = "; beside each its map, a ring where it is highest, the true defect in red"
    return {
        "found": "Defective images at random" + beside * any(case.overlay is not None for case in shown.sample),
        "escapes": f"Passing: {passing} of {metrics.defective} defective images, the lowest scores first"
        if passing
        else f"None of {metrics.defective} defective images passes; those nearest to it",
        "false-alarms": f"Rejected: {rejected} of {good} good images, the highest scores first"
        if rejected
        else f"None of {good} good images is rejected; those nearest to it",
    }
