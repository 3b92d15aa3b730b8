"""One self-contained page: the answer first, then why it can be believed.

Nothing on the page reaches the network (a content security policy forbids it), every name is escaped, and
the charts are the page's own text and vectors: they follow light and dark, print, fit a telephone and show
any script that the reader's browser can. The PNG files beside it are for papers and slides.
"""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from PIL import Image as Pillow

from millscale.report.figures.confusion import draw_confusion
from millscale.report.figures.gallery import draw_gallery
from millscale.report.figures.grid import ROWS, draw_grid, grid_columns
from millscale.report.figures.per_class import draw_per_class
from millscale.report.figures.reliability import draw_reliability
from millscale.report.figures.style import png
from millscale.report.page import NEAREST, page_values
from millscale.report.report import Report
from millscale.report.selection import Shown, choose

MOST_ERRORS, CALLS = 60, 4


def write_report(path: Path, report: Report) -> tuple[Path, ...]:
    """Write the page to ``path`` and its figures as PNG files beside it.

    Args:
        path: the HTML file, such as ``report.html``; the figures become ``report-errors.png`` and so on.
        report: what to show.

    Returns:
        The files written, the page first.
    """
    shown = shown_in(report)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(render(report, shown))
    return (path, *_write_figures(path, report, shown))


def shown_in(report: Report) -> Shown:
    """The images that the page and the figures of ``report`` show, read from disk."""
    table = report.table
    grid = ROWS * grid_columns(len(table.classes))
    return choose(table, grid=grid, errors=MOST_ERRORS, calls=CALLS, nearest=NEAREST)


def render(report: Report, shown: Shown) -> bytes:
    """The page as UTF-8."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, auto_reload=False
    )
    source = files("millscale.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    text = environment.from_string(source).render(page_values(report, shown))
    # A file name may hold bytes that are no text; they must not keep the page from being written.
    return text.encode("utf-8", "replace")


def _write_figures(path: Path, report: Report, shown: Shown) -> Iterator[Path]:
    drawn = {
        "predictions": draw_grid(report.table, shown.thumbnails),
        "confusion": draw_confusion(report.metrics),
        "reliability": draw_reliability(report.metrics),
        "per-class": draw_per_class(report.metrics),
        "errors": draw_gallery(report.table, shown.thumbnails),
    }
    for name, figure in drawn.items():
        target = path.with_name(f"{path.stem}-{name}.png")
        target.write_bytes(png(figure))
        yield target
    if report.mosaic is not None:
        target = path.with_name(f"{path.stem}-overlaps.png")
        Pillow.fromarray(report.mosaic).save(target)
        yield target
