"""The learning curve: what a label more is worth."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from millscale.metrics.classification import Floats
from millscale.report.figures.style import ACCENT, INK, MUTED, RIGHT, RULE, chart

_COLOURS = (RIGHT, ACCENT, MUTED)
_MARKS = ("o", "s", "^")


def draw_learning_curve(labels: Sequence[int], curves: Mapping[str, Sequence[Floats]]) -> Figure:
    """Mean accuracy with its standard deviation over the draws, against labels of each class on a log scale.

    Args:
        labels: of each class, rising.
        curves: by what was taught, the accuracies of every draw at each size.
    """
    figure = chart(6.4, 4.2)
    axes = figure.subplots()
    for number, (name, draws) in enumerate(curves.items()):
        judged = [found[np.isfinite(found)] for found in draws]
        mean = np.array([found.mean() if len(found) else np.nan for found in judged])
        spread = np.array([found.std() if len(found) else np.nan for found in judged])
        x = np.array(labels) * 1.02 ** (number - 1)  # so that the bars do not hide one another
        ends = np.vstack([spread, np.minimum(spread, 1 - mean)])
        colour, mark = _COLOURS[number], _MARKS[number]
        axes.errorbar(x, mean, yerr=ends, label=name, color=colour, marker=mark, capsize=3, linewidth=1.6, markersize=5)
    axes.set_xscale("log")
    axes.set_xticks(labels, [str(count) for count in labels])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("labels of each class", color=INK)
    axes.set_ylabel("accuracy, mean and deviation of the draws", color=INK)
    axes.grid(color=RULE, linewidth=0.6)
    axes.tick_params(colors=MUTED, labelsize=8.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(RULE)
    axes.legend(loc="lower right", fontsize=8.5, frameon=False, labelcolor=INK)
    return figure
