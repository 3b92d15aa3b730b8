"""A contact sheet of clusters: the most typical images of each, and the most doubtful."""

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from millscale.report.cluster_selection import ShownClusters, cluster_color, cluster_name
from millscale.report.figures.style import MUTED, RULE, WRONG, place, sheet, write
from millscale.report.report import ClusterReport

TYPICAL, DOUBTFUL = 6, 4
_SIDE, _GAP, _MARGIN, _HEAD, _NAME, _BETWEEN = 96, 8, 18, 54, 104, 26


def draw_contact(report: ClusterReport, shown: ShownClusters) -> Figure:
    """A row for each cluster; a red frame marks an image that is nearer to another cluster."""
    count, step = report.clusters.count, _SIDE + _GAP
    doubtful = _MARGIN + _NAME + TYPICAL * step + _BETWEEN
    figure, axes = sheet(doubtful + DOUBTFUL * step + _MARGIN, _HEAD + max(1, count) * step + _MARGIN)
    write(axes, _MARGIN + _NAME, 28, "most typical", size=9, weight="bold")
    write(axes, doubtful, 28, "most doubtful", size=9, weight="bold")
    for number in range(count):
        y = _HEAD + number * step
        axes.add_patch(Rectangle((_MARGIN, y), 5, _SIDE, facecolor=cluster_color(number), linewidth=0))
        write(axes, _MARGIN + 14, y + 34, cluster_name(number), size=8.5, weight="bold")
        images = int((report.clusters.labels == number).sum())
        write(axes, _MARGIN + 14, y + 51, f"{images} images", size=7.5, color=MUTED)
        told = f"stability {report.clusters.cluster_stability[number]:.2f}"
        write(axes, _MARGIN + 14, y + 66, told, size=7.5, color=MUTED)
        parts = ((_MARGIN + _NAME, shown.typical, TYPICAL), (doubtful, shown.doubtful, DOUBTFUL))
        for left, rows, most in parts:
            for i, row in enumerate(rows[number][:most].tolist()):
                edge = WRONG if left == doubtful and report.clusters.silhouette[row] < 0 else RULE
                place(axes, shown.thumbnails.get(report.paths[row]), left + i * step, y, _SIDE, edge)
    return figure
