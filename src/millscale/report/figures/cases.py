"""Images beside themselves under their anomaly maps."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from millscale.metrics.anomaly import AnomalyTable
from millscale.report.anomaly_selection import GOOD, Case
from millscale.report.drawn_boxes import class_color
from millscale.report.figures.lettering import Lettering, drawable, lettering, shorten
from millscale.report.figures.style import INK, MUTED, RIGHT, WRONG, place, sheet, write

_ACROSS = 2
_SIDE, _BETWEEN, _GAP, _MARGIN, _HEAD, _FOOT = 220, 6, 26, 18, 48, 50


def draw_cases(table: AnomalyTable, cases: Sequence[Case], heading: str) -> Figure:
    """A gallery of ``cases``, two a row: each image as it is and under its map, green where it is judged rightly.

    Args:
        table: the scores.
        cases: which images, in order.
        heading: one line above all.
    """
    style, pair = lettering(table.classes), 2 * _SIDE + _BETWEEN
    down = max(1, -(-len(cases) // _ACROSS))
    figure, axes = sheet(_ACROSS * (pair + _GAP) - _GAP + 2 * _MARGIN, _HEAD + down * (_SIDE + _FOOT))
    write(axes, _MARGIN, 24, heading, size=10.5, weight="bold")
    for number, case in enumerate(cases):
        x, y = _MARGIN + number % _ACROSS * (pair + _GAP), _HEAD + number // _ACROSS * (_SIDE + _FOOT)
        _draw_case(axes, table, case, x, y, style)
    return figure


def _draw_case(axes: Axes, table: AnomalyTable, case: Case, x: float, y: float, style: Lettering) -> None:
    color = RIGHT if case.defective == case.rejected else WRONG
    place(axes, case.image, x, y, _SIDE, color)
    if case.overlay is not None:
        place(axes, case.overlay, x + _SIDE + _BETWEEN, y, _SIDE, color)
    name = shorten(style.names[case.index], 40) if case.index != GOOD else unnamed(case)
    ink = class_color(case.index) if case.index != GOOD else INK
    write(axes, x, y + _SIDE + 12, name, size=8.5, weight="bold", color=ink, families=style.families)
    write(axes, x, y + _SIDE + 27, caption(case), size=7.5, color=color)
    label = shorten(drawable(table.ids[case.row], style.families), 80)
    write(axes, x, y + _SIDE + 40, label, size=6.5, color=MUTED, families=style.families)


def unnamed(case: Case) -> str:
    """What to call an image that shows no named kind of defect."""
    return "defective" if case.defective else "good"


def caption(case: Case) -> str:
    """What the threshold makes of the image, in words."""
    return f"{'rejected' if case.rejected else 'passes'}, {case.level:.3g} × the threshold"
