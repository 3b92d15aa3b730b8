"""Boxes over images: what was found against what was drawn by hand."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from millscale.report.detection_selection import Shot, ShownBoxes
from millscale.report.drawn_boxes import DrawnBox, class_color, drawn_boxes, text_height
from millscale.report.figures.lettering import Lettering, drawable, lettering, shorten
from millscale.report.figures.style import INK, MUTED, place, sheet, write

ACROSS = 4
_SIDE, _GAP, _MARGIN, _HEAD, _FOOT = 220, 16, 18, 66, 50
_POINT = 100 / 72
_WIDTHS = {"true": 1.1, "missed": 2.0, "ignored": 1.1, "found": 1.4, "alarm": 2.6}
_DASHES = {"true": (0, (4, 3)), "missed": (0, (4, 2.2)), "ignored": (0, (1, 2))}


def draw_shots(shown: ShownBoxes, shots: Sequence[Shot], heading: str) -> Figure:
    """A gallery of ``shots``, four a row: found boxes solid with their score, true ones dashed.

    Args:
        shown: the images and the boxes at their thresholds.
        shots: which of them, in order.
        heading: one line above all.
    """
    style, down = lettering(shown.operating.classes), max(1, -(-len(shots) // ACROSS))
    height = _HEAD + down * (_SIDE + _FOOT)
    figure, axes = sheet(ACROSS * (_SIDE + _GAP) - _GAP + 2 * _MARGIN, height)
    write(axes, _MARGIN, 20, heading, size=10.5, weight="bold")
    _draw_legend(axes, style)
    for number, shot in enumerate(shots):
        x = _MARGIN + number % ACROSS * (_SIDE + _GAP)
        _draw_shot(axes, shown, shot, x, _HEAD + number // ACROSS * (_SIDE + _FOOT), style)
    return figure


def _draw_legend(axes: Axes, style: Lettering) -> None:
    """Class colours in one line, as many as fit."""
    x, fit = float(_MARGIN), ACROSS * (_SIDE + _GAP)
    for index, name in enumerate(style.names):
        label = shorten(name, 22)
        if x + 24 + 6.6 * len(label) > fit:
            break
        axes.add_patch(Rectangle((x, 38), 10, 10, facecolor=class_color(index), linewidth=0))
        write(axes, x + 15, 43, label, size=7.5, color=MUTED, families=style.families)
        x += 34 + 6.6 * len(label)


def _draw_shot(axes: Axes, shown: ShownBoxes, shot: Shot, x: float, y: float, style: Lettering) -> None:
    table, size = shown.operating, shown.operating.sizes[shot.row]
    scale = _SIDE / max(size)
    left, top = x + (_SIDE - size[1] * scale) / 2, y + (_SIDE - size[0] * scale) / 2
    place(axes, shown.thumbnails.get(table.paths[shot.row]), x, y, _SIDE)
    boxes = drawn_boxes(
        table.truth[shot.row], table.found[shot.row], size, style.names, missed=shot.missed, alarms=shot.alarms
    )
    for box in boxes:
        _draw_box(axes, box, left, top, scale)
    for box in boxes:
        if box.label:
            _draw_label(axes, box, left, top, scale, text_height(size))
    name, caption = shorten(style.names[shot.index], 34), drawable(shot.caption, style.families)
    write(axes, x, y + _SIDE + 11, name, size=8, weight="bold", color=class_color(shot.index), families=style.families)
    write(axes, x, y + _SIDE + 25, shorten(caption, 42), size=7.2, color=INK, families=style.families)
    label = shorten(drawable(table.ids[shot.row], style.families), 42)
    write(axes, x, y + _SIDE + 37, label, size=6.5, color=MUTED, families=style.families)


def _draw_box(axes: Axes, box: DrawnBox, left: float, top: float, scale: float) -> None:
    """A line of the box's colour over a wider one that sets it off from the image."""
    x, y, right, bottom = (edge * scale for edge in box.xyxy)
    corner, width, solid = (left + x, top + y), _WIDTHS[box.kind], box.kind not in _DASHES
    under = "#ffffff" if solid else "#000000"
    wide = width + (1.6 if solid else 0.9)
    for color, line, dashes, alpha in ((under, wide, "-", 0.65), (box.color, width, _DASHES.get(box.kind, "-"), 1.0)):
        patch = Rectangle(corner, right - x, bottom - y, fill=False, edgecolor=color, linewidth=line, alpha=alpha)
        patch.set(linestyle=dashes, zorder=5, joinstyle="miter", capstyle="butt")
        axes.add_patch(patch)


def _draw_label(axes: Axes, box: DrawnBox, left: float, top: float, scale: float, text: float) -> None:
    x, y, right, bottom = (edge * scale for edge in box.label_box)
    corner = (left + x, top + y)
    tag = Rectangle(corner, right - x, bottom - y, facecolor=box.color, edgecolor="#ffffff", linewidth=0.4, zorder=6)
    axes.add_patch(tag)
    axes.text(
        left + (x + right) / 2,
        top + (y + bottom) / 2,
        box.label,
        fontsize=0.92 * text * scale / _POINT,
        color="#ffffff",
        ha="center",
        va="center_baseline",
        fontweight="bold",
        zorder=7,
    )
