"""Histograms of raw anomaly scores, one below the other, with the threshold through them all."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from millscale.report.figures.lettering import lettering, shorten
from millscale.report.figures.style import INK, MUTED, RULE, WRONG, chart
from millscale.report.score_rows import ScoreRow, ScoreRows


def draw_scores(shown: ScoreRows) -> Figure:
    """One histogram for the good images and one for each kind of defect, each as high as its fullest bin.

    Side by side on one axis few defects would vanish among many good images.
    """
    style = lettering([row.name for row in shown.rows if row.defective])
    names = ["good"] * (len(shown.rows) - len(style.names)) + list(style.names)
    figure = chart(7.2, 1.2 + 0.62 * len(shown.rows))
    panels = np.atleast_1d(figure.subplots(len(shown.rows), 1, sharex=True, squeeze=True))
    for axes, row, name in zip(panels, shown.rows, names, strict=True):
        axes.bar(shown.edges[:-1], row.counts, np.diff(shown.edges), align="edge", color=row.color, linewidth=0)
        axes.axvline(0.5, color=WRONG, linewidth=1.2, linestyle=(0, (4, 3)))
        axes.set(xlim=(shown.edges[0], shown.edges[-1]), ylim=(0, 1.08 * row.counts.max()), yticks=[])
        axes.spines[["top", "left", "right"]].set_visible(False)
        axes.spines["bottom"].set_color(RULE)
        axes.tick_params(length=0)
        _label(axes, shorten(name, 24), told(row), style.families)
    panels[0].set_title("Raw scores; dashed: the threshold", fontsize=10.5, color=INK, pad=10)
    panels[-1].set_xticks([place for place, _ in shown.ticks], [text for _, text in shown.ticks])
    panels[-1].tick_params(axis="x", colors=MUTED, labelsize=8.5)
    panels[-1].set_xlabel("score in multiples of the threshold", color=MUTED)
    return figure


def told(row: ScoreRow) -> str:
    """How many images of a row are on the wrong side, in words."""
    wrong, what = (row.images - row.rejected, "pass") if row.defective else (row.rejected, "rejected")
    return f"{wrong} of {row.images} {what}"


def _label(axes: Axes, name: str, words: str, families: list[str]) -> None:
    for text, size, color, y, va in ((name, 9, INK, 0.52, "bottom"), (words, 7.5, MUTED, 0.44, "top")):
        axes.text(
            -0.02,
            y,
            text,
            transform=axes.transAxes,
            fontsize=size,
            color=color,
            ha="right",
            va=va,
            family=families,
            parse_math=False,
        )
