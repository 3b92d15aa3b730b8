"""Every error beside the training images nearest to it; without errors, the closest calls."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from millscale.metrics.predictions import PredictionTable
from millscale.report.figures.lettering import Lettering, drawable, lettering, shorten
from millscale.report.figures.style import INK, MUTED, RIGHT, RULE, WRONG, place, sheet, write
from millscale.report.selection import closest_calls, gallery_paths, neighbours_of
from millscale.report.thumbnails import Thumbnails, read_thumbnails

MOST, NEAREST, CALLS = 12, 3, 4
_SIDE, _SMALL, _ROW, _MARGIN, _HEAD = 160, 120, 196, 18, 44
_BARS, _NEAR = 200, 470


def draw_gallery(table: PredictionTable, thumbnails: Thumbnails | None = None) -> Figure:
    """The most confident errors, at most 12 with a note on the rest, each with its three nearest images.

    Args:
        table: the predictions.
        thumbnails: images already read, else they are read here.
    """
    rows = table.errors[:MOST] if len(table.errors) else closest_calls(table, CALLS)
    images = read_thumbnails(gallery_paths(table, rows, NEAREST)) if thumbnails is None else thumbnails
    style = lettering(table.classes)
    width = _NEAR + NEAREST * (_SMALL + 14) + 4 if table.nearest else _NEAR
    figure, axes = sheet(width, _HEAD + _ROW * len(rows))
    write(axes, _MARGIN, _HEAD / 2 + 4, _heading(table, len(rows)), size=10.5, weight="bold")
    for number, row in enumerate(rows):
        y = _HEAD + number * _ROW
        _draw_judged(axes, table, int(row), y, images, style)
        _draw_nearest(axes, table, int(row), y, images, style)
    return figure


def _heading(table: PredictionTable, shown: int) -> str:
    errors, images = len(table.errors), int((table.y_true >= 0).sum())
    if not errors:
        return f"No error in {images} images. The closest calls, all right:"
    more = f", the {shown} most confident; {errors - shown} more are not shown" if errors > shown else ""
    return f"{errors} error{'s' * (errors != 1)} in {images} images{more}"


def _draw_judged(axes: Axes, table: PredictionTable, row: int, y: float, images: Thumbnails, style: Lettering) -> None:
    truth, guess = int(table.y_true[row]), int(table.predicted[row])
    color = RIGHT if truth == guess else WRONG
    place(axes, images.get(table.paths[row]), _MARGIN, y, _SIDE, color)
    names = [shorten(name, 30) for name in style.names]
    write(axes, _BARS, y + 8, names[guess], size=9.5, color=color, families=style.families)
    write(axes, _BARS, y + 26, f"({names[truth]})", size=9.5, families=style.families)
    for place_number, index in enumerate(_shown_classes(table, row, truth)):
        _draw_bar(axes, y + 48 + 27 * place_number, names[index], float(table.probs[row, index]), style)
    label = shorten(drawable(table.ids[row], style.families), 38)
    write(axes, _BARS, y + _SIDE - 6, label, size=7, color=MUTED, families=style.families)


def _shown_classes(table: PredictionTable, row: int, truth: int) -> list[int]:
    """The three most probable classes, the true one among them."""
    order = [int(i) for i in np.argsort(-table.probs[row], kind="stable")]
    return order[:3] if truth in order[:3] else [*order[:2], truth]


def _draw_bar(axes: Axes, y: float, name: str, share: float, style: Lettering) -> None:
    axes.add_patch(Rectangle((_BARS, y + 9), 240, 6, facecolor="#eef1f4", linewidth=0))
    axes.add_patch(Rectangle((_BARS, y + 9), 240 * share, 6, facecolor=MUTED, linewidth=0))
    write(axes, _BARS, y, name, size=7.5, color=INK, families=style.families)
    write(axes, _BARS + 240, y, f"{share:.1%}", size=7.5, color=INK, ha="right")


def _draw_nearest(axes: Axes, table: PredictionTable, row: int, y: float, images: Thumbnails, style: Lettering) -> None:
    near, classes = table.nearest, {name: i for i, name in enumerate(table.classes)}
    if near is None:
        return
    write(axes, _NEAR, y + 8, "nearest training images", size=7.5, color=MUTED)
    for place_number, (index, similarity) in enumerate(neighbours_of(table, row, NEAREST)):
        x, label = _NEAR + place_number * (_SMALL + 14), near.labels[index]
        same = label == table.labels[row]
        place(axes, images.get(near.paths[index]), x, y + 20, _SMALL, RULE if same else WRONG)
        name = style.names[classes[label]] if label in classes else "unlabelled"
        caption = f"{shorten(name, 17)}"
        write(axes, x, y + 20 + _SMALL + 9, caption, size=7.5, families=style.families)
        write(axes, x, y + 20 + _SMALL + 22, f"similarity {similarity:.2f}", size=7, color=MUTED)
