"""The whole set in two dimensions: a dot an image, some of them as pictures."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from millscale.report.cluster_selection import ShownClusters, cluster_color, cluster_name
from millscale.report.figures.style import MUTED, place, sheet, write
from millscale.report.report import ClusterReport

_WIDTH, _HEIGHT, _MARGIN, _SIDE, _HEAD = 1000, 690, 34, 40, 62


def draw_cluster_map(report: ClusterReport, shown: ShownClusters) -> Figure:
    """Images at their places on the map, framed in their cluster's colour."""
    labels = report.clusters.labels
    figure, axes = sheet(_WIDTH, _HEAD + _HEIGHT)
    write(axes, _MARGIN - _SIDE / 2, 20, f"{len(labels)} images, placed by their looks", size=10.5, weight="bold")
    x, across = _MARGIN - _SIDE / 2, 82
    for number in [*range(report.clusters.count), *np.unique(labels[labels < 0]).tolist()][: _WIDTH // across]:
        axes.add_patch(Rectangle((x, 40), 10, 10, facecolor=cluster_color(number), linewidth=0))
        write(axes, x + 15, 45, cluster_name(number), size=7.5, color=MUTED)
        x += across
    inner = np.array([_WIDTH, _HEIGHT]) - 2 * _MARGIN
    at = np.array([0, _HEAD]) + _MARGIN + np.stack([report.place[:, 0], 1 - report.place[:, 1]], 1) * inner
    axes.scatter(
        at[:, 0], at[:, 1], s=9, c=[cluster_color(int(label)) for label in labels], alpha=0.6, linewidths=0, zorder=0
    )
    for row in shown.mapped.tolist():
        image, color = shown.thumbnails.get(report.paths[row]), cluster_color(int(labels[row]))
        place(axes, image, at[row, 0] - _SIDE / 2, at[row, 1] - _SIDE / 2, _SIDE, color)
    return figure
