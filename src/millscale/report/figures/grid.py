"""The first picture anyone wants: images titled "Prediction (True category)"."""

from matplotlib.figure import Figure

from millscale.metrics.predictions import PredictionTable
from millscale.report.figures.lettering import Lettering, columns, lettering, shorten
from millscale.report.figures.style import RIGHT, WRONG, place, sheet, write
from millscale.report.selection import even_sample
from millscale.report.thumbnails import Thumbnails, read_thumbnails

ROWS = 4
_SIDE, _GAP, _MARGIN, _FIT = 160, 14, 18, 22


def grid_columns(classes: int) -> int:
    """As many columns as classes where that gives a readable picture: then each column is one class."""
    return classes if 4 <= classes <= 8 else 6


def draw_grid(table: PredictionTable, thumbnails: Thumbnails | None = None, *, seed: int = 0) -> Figure:
    """A grid of images, each titled ``Prediction (True category)``, green where right and red where wrong.

    Args:
        table: the predictions; unlabelled rows are not shown.
        thumbnails: images already read, else they are read here.
        seed: of the draw of images, which takes the classes in turn.
    """
    across = grid_columns(len(table.classes))
    rows = even_sample(table, ROWS * across, seed)
    images = read_thumbnails(table.paths[row] for row in rows) if thumbnails is None else thumbnails
    style, down = lettering(table.classes), -(-len(rows) // across)
    titles = [grid_title(style, int(table.predicted[row]), int(table.y_true[row])) for row in rows]
    head = 46 if any("\n" in title for title in titles) else 32
    figure, axes = sheet(across * (_SIDE + _GAP) - _GAP + 2 * _MARGIN, down * (_SIDE + head) + _MARGIN)
    for number, (row, title) in enumerate(zip(rows, titles, strict=True)):
        x = _MARGIN + number % across * (_SIDE + _GAP)
        y = number // across * (_SIDE + head) + head
        color = RIGHT if table.predicted[row] == table.y_true[row] else WRONG
        place(axes, images.get(table.paths[row]), x, y, _SIDE, color)
        write(axes, x + _SIDE / 2, y - 5, title, color=color, ha="center", va="bottom", families=style.families)
    return figure


def grid_title(style: Lettering, guess: int, truth: int) -> str:
    """``Prediction (True)`` on one line where it fits, else on two."""
    title = f"{style.names[guess]} ({style.names[truth]})"
    if columns(title) <= _FIT:
        return title
    return f"{shorten(style.names[guess], _FIT - 2)}\n({shorten(style.names[truth], _FIT - 2)})"
