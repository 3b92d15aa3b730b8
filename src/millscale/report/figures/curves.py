"""Precision over recall of each class."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from millscale.metrics.detection import DetectionMetrics
from millscale.metrics.detection_ap import RECALLS
from millscale.report.drawn_boxes import class_color
from millscale.report.figures.lettering import lettering, shorten
from millscale.report.figures.style import INK, MUTED, PAPER, RULE, chart


def draw_curves(metrics: DetectionMetrics) -> Figure:
    """Interpolated precision at IoU .5 up to the recall reached, a dot at each operating threshold."""
    style = lettering(metrics.classes)
    figure = chart(6.4, 4.4)
    axes = figure.add_subplot()
    for i, name in enumerate(style.names):
        precision, color = metrics.curve_precision[i], class_color(i)
        if np.isnan(precision).all():
            continue
        label = f"{shorten(name, 22)}  {metrics.ap50[i]:.1%}"
        axes.plot(RECALLS[precision > 0], precision[precision > 0], color=color, linewidth=1.5, label=label)
        if np.isfinite(metrics.box_precision[i]):
            point = (metrics.box_recall[i], metrics.box_precision[i])
            axes.scatter(*point, s=34, color=color, edgecolor=PAPER, linewidth=1, zorder=4, clip_on=False)
    axes.set(xlim=(0, 1.01), ylim=(0, 1.02))
    axes.set_xlabel("recall", color=MUTED)
    axes.set_ylabel("precision", color=MUTED)
    mean = f"{metrics.map50:.1%}" if np.isfinite(metrics.map50) else "undefined"
    axes.set_title(f"Precision and recall at IoU .5, mAP50 {mean}", fontsize=10.5, color=INK, pad=10)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.tick_params(colors=MUTED, labelsize=8.5, length=0)
    axes.grid(color=RULE, linewidth=0.6)
    axes.spines[:].set_visible(False)
    handles, _ = axes.get_legend_handles_labels()
    if handles:
        legend = axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8.5, frameon=False, labelcolor=INK)
        for text in legend.get_texts():
            text.set(family=style.families, parse_math=False)
    return figure
