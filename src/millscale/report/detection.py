"""A detector's report: its page and its figures."""

from matplotlib.figure import Figure

from millscale.metrics.detection import BACKGROUND, DetectionMetrics
from millscale.report.detection_page import detection_values
from millscale.report.detection_selection import choose_shots
from millscale.report.figures.confusion import draw_confusion
from millscale.report.figures.curves import draw_curves
from millscale.report.figures.per_class import Series, draw_per_class
from millscale.report.figures.shots import ACROSS, draw_shots
from millscale.report.frame import Values
from millscale.report.report import DetectionReport

MOST = 3 * ACROSS


def detection_contents(report: DetectionReport) -> tuple[Values, dict[str, Figure]]:
    """What the page says and the figures beside it by name, the images read from disk once."""
    metrics = report.metrics
    shown = choose_shots(report.table, metrics.limits, sample=ACROSS, most=MOST)
    names = [*metrics.classes, BACKGROUND]
    series = [Series("ap50", "AP50", metrics.ap50), Series("ap50_95", "AP50-95", metrics.ap50_95)]
    misses = f"Worst misses of {shown.missed_images} images with any: true boxes dashed, missed ones red"
    alarms = f"Most confident of {shown.alarm_images} images with false alarms: drawn heavier"
    return detection_values(report, shown), {
        "found": draw_shots(shown, shown.sample, "Found solid with scores, true boxes dashed"),
        "per-class": draw_per_class(metrics.classes, series, metrics.intervals),
        "curves": draw_curves(metrics),
        "confusion": draw_confusion(names, metrics.confusion, _confused(metrics)),
        "misses": draw_shots(shown, shown.misses, misses if shown.misses else "No box is missed"),
        "false-alarms": draw_shots(shown, shown.alarms, alarms if shown.alarms else "No false alarm"),
    }


def _confused(metrics: DetectionMetrics) -> str:
    counts = metrics.confusion
    missed, false = int(counts[:-1, -1].sum()), int(counts[-1, :-1].sum())
    swapped = int(counts[:-1, :-1].sum() - counts[:-1, :-1].trace())
    return f"Boxes: {swapped} confused, {missed} missed, {false} false alarms"
