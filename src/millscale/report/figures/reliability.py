"""The reliability diagram: how often the model is right when it says it is sure."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from millscale.metrics.bootstrap import wilson_interval
from millscale.metrics.evaluation import ClassificationMetrics
from millscale.report.figures.style import ACCENT, INK, MUTED, RULE, chart


def draw_reliability(metrics: ClassificationMetrics) -> Figure:
    """Accuracy against confidence in 15 bins, above how many images each bin holds (log scale)."""
    figure = chart(4.6, 5.0)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3.2, 1])
    _draw_points(upper, metrics)
    _draw_counts(lower, metrics)
    low, high = metrics.intervals["ece"]
    ends = f"  [{low:.3f}, {high:.3f}]" if low <= high else ""  # NaN of one group
    upper.set_title(f"Expected calibration error {metrics.ece:.3f}{ends}", fontsize=10.5, color=INK, pad=10)
    for axes in (upper, lower):
        axes.tick_params(colors=MUTED, labelsize=8.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(RULE)
    return figure


def _draw_points(axes: Axes, metrics: ClassificationMetrics) -> None:
    table = metrics.reliability
    used = table.count > 0
    x, y = table.confidence[used], table.accuracy[used]
    ends = np.array([wilson_interval(float(a), float(n)) for a, n in zip(y, table.count[used], strict=True)])
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label="perfectly calibrated")
    axes.vlines(x, ends[:, 0], ends[:, 1], color=ACCENT, linewidth=1.4, alpha=0.6)
    axes.scatter(x, y, s=30, color=ACCENT, zorder=3, clip_on=False, label="images of one bin, 95 % interval")
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
    axes.set_ylabel("share that is right", color=MUTED)
    axes.legend(loc="upper left", fontsize=8, frameon=False, labelcolor=MUTED)
    axes.grid(color=RULE, linewidth=0.6)


def _draw_counts(axes: Axes, metrics: ClassificationMetrics) -> None:
    table = metrics.reliability
    width = np.diff(table.edges)
    axes.bar(table.edges[:-1], table.count, width=width * 0.92, align="edge", color=ACCENT, alpha=0.55)
    axes.set_yscale("log")
    axes.set_ylim(0.7, max(10.0, table.count.max() * 1.6))
    axes.minorticks_off()
    axes.set_xlabel("confidence in the prediction", color=MUTED)
    axes.set_ylabel("images", color=MUTED)
