"""What speaks for each number of clusters."""

import numpy as np
from matplotlib.figure import Figure

from millscale.learn.clusters import Clusters, chosen
from millscale.report.figures.style import ACCENT, INK, MUTED, RIGHT, RULE, chart


def draw_evidence(found: Clusters) -> Figure:
    """Silhouette with the standard error of its distance from the best, and stability, over the number."""
    seen = found.evidence
    numbers = np.array([count.clusters for count in seen])
    figure = chart(6.4, 4.6)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    values, errors = [count.silhouette for count in seen], [count.error for count in seen]
    above.errorbar(numbers, values, errors, color=ACCENT, marker="o", markersize=4.5, linewidth=1.4, capsize=2.5)
    below.plot(numbers, [count.stability for count in seen], color=MUTED, marker="o", markersize=4, linewidth=1.2)
    above.set_ylabel("silhouette", color=INK)
    below.set_ylabel("stability", color=INK)
    below.set(ylim=(min(0.5, *(count.stability for count in seen)) - 0.05, 1.05), xticks=numbers)
    below.set_xlabel("clusters", color=MUTED)
    for axes in (above, below):
        axes.axvline(chosen(seen), color=RIGHT, linewidth=1.2, linestyle=(0, (4, 3)))
        axes.grid(axis="y", color=RULE, linewidth=0.7)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(RULE)
        axes.tick_params(length=0, colors=MUTED, labelsize=8.5)
    taken = f"{chosen(seen)} clusters: the fewest within one standard error of the best silhouette"
    above.set_title(taken, fontsize=10.5, color=INK, pad=10)
    return figure
