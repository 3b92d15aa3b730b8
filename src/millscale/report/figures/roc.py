"""What is found over what is rejected wrongly, of all defects and of each kind."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.ticker import PercentFormatter

from millscale.metrics.anomaly import AnomalyMetrics, AnomalyTable
from millscale.report.drawn_boxes import class_color
from millscale.report.figures.lettering import lettering, shorten
from millscale.report.figures.style import INK, MUTED, PAPER, RULE, chart


def draw_roc(table: AnomalyTable, metrics: AnomalyMetrics) -> Figure:
    """The ROC curve of all defects in bold, one of each kind, and a dot at the threshold."""
    style = lettering(table.classes)
    figure = chart(6.6, 4.4)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=RULE, linewidth=1, linestyle=(0, (4, 3)))
    if metrics.auroc is not None:
        kinds = zip(table.classes, style.names, strict=True)
        lines = [(kind, f"{shorten(name, 22)}  {metrics.auroc_by_kind[kind]:.1%}") for kind, name in kinds]
        for i, (kind, label) in enumerate(lines):
            axes.plot(*table.roc(kind), color=class_color(i), linewidth=1.1, alpha=0.85, label=label)
        axes.plot(*table.roc(), color=INK, linewidth=2.2, label=f"all defects  {metrics.auroc:.1%}", zorder=3)
    if metrics.escape_rate is not None and metrics.overkill_rate is not None:
        point = (metrics.overkill_rate, 1 - metrics.escape_rate)
        axes.scatter(*point, s=46, color=INK, edgecolor=PAPER, linewidth=1.2, zorder=4, clip_on=False)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    axes.set_xlabel("good images rejected", color=MUTED)
    axes.set_ylabel("defective images rejected", color=MUTED)
    axes.set_title("Over all thresholds; the dot is the chosen one", fontsize=10.5, color=INK, pad=10)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axis.set_ticks(np.linspace(0, 1, 6))
    axes.tick_params(colors=MUTED, labelsize=8.5, length=0)
    axes.grid(color=RULE, linewidth=0.6)
    axes.spines[:].set_visible(False)
    if metrics.auroc is not None:
        legend = axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8.5, frameon=False, labelcolor=INK)
        legend.set_title("AUROC", prop=FontProperties(size=8.5))
        for text in legend.get_texts():
            text.set(family=style.families, parse_math=False)
    return figure
