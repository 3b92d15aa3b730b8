"""Two numbers of each class with their intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from millscale.metrics.classification import Floats
from millscale.report.figures.lettering import columns, lettering, shorten
from millscale.report.figures.style import ACCENT, INK, MUTED, RIGHT, RULE, chart

_LOOKS = ((ACCENT, -0.14), (RIGHT, 0.14))


@dataclass(frozen=True, eq=False)
class Series:
    """One number of each class.

    Attributes:
        key: of its intervals, which are filed as ``key/<class>``.
        label: what the legend says.
        values: ``(C,)`` in [0, 1], NaN where undefined.
    """

    key: str
    label: str
    values: Floats


def draw_per_class(
    classes: Sequence[str], series: Sequence[Series], intervals: Mapping[str, tuple[float, float]]
) -> Figure:
    """A dot and its 95 % interval per class; the axis starts where the lowest interval does.

    Dots rather than bars: a bar must start at zero, where 98 % and 100 % look the same.

    Args:
        classes: C names.
        series: one or two numbers of each class.
        intervals: 95 % intervals by ``key/<class>``, NaN where undefined.
    """
    style = lettering(classes)
    names = [shorten(name, 30) for name in style.names]
    figure = chart(6.2 + 0.05 * max(map(columns, names)), 1.3 + 0.42 * len(names))
    axes = figure.add_subplot()
    lowest = 1.0
    for one, (color, aside) in zip(series, _LOOKS, strict=False):
        shift = aside if len(series) > 1 else 0.0
        for i, name in enumerate(classes):
            low, high = intervals[f"{one.key}/{name}"]
            if np.isfinite(low):
                lowest = min(lowest, low)
                axes.plot(
                    [low, high],
                    [i + shift] * 2,
                    color=color,
                    linewidth=2.2,
                    alpha=0.45,
                    solid_capstyle="butt",
                )
        axes.scatter(one.values, np.arange(len(names)) + shift, s=30, color=color, zorder=3, label=one.label)
    span = 1 - lowest or 1.0  # where no number is defined, the whole axis
    axes.set(xlim=(max(-0.01, lowest - 0.06 * span), 1 + 0.03 * span), ylim=(len(names) - 0.4, -0.6))
    axes.set_yticks(range(len(names)), names, family=style.families, fontsize=9, color=INK, parse_math=False)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=1 if span < 0.04 else 0))
    axes.set_title("Per class, with 95 % intervals over groups", fontsize=10.5, color=INK, pad=24)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, fontsize=8.5, frameon=False, labelcolor=MUTED)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", colors=MUTED, labelsize=8.5)
    axes.grid(axis="x", color=RULE, linewidth=0.6)
    axes.spines[:].set_visible(False)
    return figure
