"""A classifier's report: its page and its figures."""

from matplotlib.figure import Figure

from millscale.report.figures.confusion import draw_confusion
from millscale.report.figures.gallery import draw_gallery
from millscale.report.figures.grid import ROWS, draw_grid, grid_columns
from millscale.report.figures.per_class import Series, draw_per_class
from millscale.report.figures.reliability import draw_reliability
from millscale.report.frame import Values
from millscale.report.page import NEAREST, page_values
from millscale.report.report import Report
from millscale.report.selection import choose

MOST_ERRORS, CALLS = 60, 4


def classification_contents(report: Report) -> tuple[Values, dict[str, Figure]]:
    """What the page says and the figures beside it by name, the images read from disk once."""
    table, metrics = report.table, report.metrics
    grid = ROWS * grid_columns(len(table.classes))
    shown = choose(table, grid=grid, errors=MOST_ERRORS, calls=CALLS, nearest=NEAREST)
    confused = f"{metrics.errors} of {metrics.images} images confused"
    series = [Series(key, key, getattr(metrics.per_class, key)) for key in ("recall", "precision")]
    return page_values(report, shown), {
        "predictions": draw_grid(table, shown.thumbnails),
        "confusion": draw_confusion(metrics.classes, metrics.confusion, confused),
        "reliability": draw_reliability(metrics),
        "per-class": draw_per_class(metrics.classes, series, metrics.intervals),
        "errors": draw_gallery(table, shown.thumbnails),
    }
