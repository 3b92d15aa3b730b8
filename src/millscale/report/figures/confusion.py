"""The confusion matrix: what is taken for what."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from millscale.metrics.classification import Ints
from millscale.report.figures.lettering import columns, lettering, shorten
from millscale.report.figures.style import ACCENT, INK, MUTED, PAPER, RULE, WRONG, chart

_FIT = 26


def draw_confusion(classes: Sequence[str], counts: Ints, title: str) -> Figure:
    """Counts with the truth in rows; blue shows the share recognised, red every confusion, however rare.

    Args:
        classes: C names, the background among them where it can be taken for something.
        counts: ``(C, C)``, rows are the truth.
        title: one line above.
    """
    style = lettering(classes)
    names = [shorten(name, _FIT) for name in style.names]
    longest, size = max(map(columns, names)), len(names)
    cell = max(0.62, 3.0 / size)
    slanted = longest * 0.085 > cell
    side = size * cell + 0.09 * longest
    figure = chart(max(4.2, side + 1.0), max(3.6, size * cell + (0.06 * longest if slanted else 0.2) + 1.2))
    axes = figure.add_subplot()
    _draw_cells(axes, counts)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(range(size), names, family=style.families, fontsize=9, color=INK, parse_math=False)
    if slanted:
        axes.tick_params(axis="x", rotation=40)
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5), aspect="equal")
    axes.set_xlabel("predicted", color=MUTED)
    axes.set_ylabel("true", color=MUTED)
    axes.set_title(title, fontsize=10.5, color=INK, pad=10)
    axes.tick_params(length=0, pad=6)
    axes.spines[:].set_visible(False)
    return figure


def _draw_cells(axes: Axes, counts: Ints) -> None:
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    for (i, j), count in np.ndenumerate(counts):
        strength = (0.12 + 0.78 * share[i, j] if i == j else 0.25 + 0.7 * share[i, j]) if count else 0.0
        color = ACCENT if i == j else WRONG
        corner = (j - 0.5, i - 0.5)
        axes.add_patch(Rectangle(corner, 1, 1, facecolor=color, alpha=strength, linewidth=0))
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=RULE, linewidth=0.8))
        if count:
            axes.text(
                j,
                i,
                f"{count}",
                ha="center",
                va="center",
                fontsize=9,
                color=PAPER if strength > 0.55 else INK,
            )
