"""The look that all figures share, and the two ways to start one."""

from io import BytesIO

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from millscale.core.types import Image

INK, MUTED, RULE, PAPER = "#1d2733", "#667281", "#dfe3e8", "#ffffff"
RIGHT, WRONG, ACCENT = "#1a7f4b", "#c0342b", "#2b6cb0"
DPI = 125


def chart(width: float, height: float) -> Figure:
    """An empty figure of ``width`` × ``height`` inches that lays its axes out by itself."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def sheet(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure with one frameless axes in units of 1/100 inch, the origin at the top left.

    Many pictures on one axes draw several times faster than one axes each.
    """
    figure = Figure(figsize=(width / 100, height / 100), dpi=DPI, facecolor=PAPER)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
    return figure, axes


def place(axes: Axes, image: Image | None, x: float, y: float, side: float, edge: str = RULE) -> None:
    """Draw ``image`` into the square at (x, y) of a sheet, framed; None leaves a note in its place."""
    frame = Rectangle((x, y), side, side, facecolor="#f3f5f7", edgecolor=edge, linewidth=1.6, zorder=1)
    axes.add_patch(frame)
    if image is None:
        write(axes, x + side / 2, y + side / 2, "image not\navailable", size=7, color=MUTED, ha="center")
        return
    height, width = image.shape[:2]
    scale = side / max(height, width)
    left, top = x + (side - width * scale) / 2, y + (side - height * scale) / 2
    axes.imshow(
        image,
        cmap="gray",
        vmin=0,
        vmax=255,
        extent=(left, left + width * scale, top + height * scale, top),
        interpolation="antialiased",
        aspect="auto",
        zorder=2,
    )
    axes.add_patch(Rectangle((x, y), side, side, fill=False, edgecolor=edge, linewidth=1.6, zorder=3))


def write(
    axes: Axes,
    x: float,
    y: float,
    text: str,
    *,
    size: float = 8.5,
    color: str = INK,
    ha: str = "left",
    va: str = "center",
    weight: str = "normal",
    families: list[str] | None = None,
) -> None:
    """Write ``text`` literally (a dollar sign is a dollar sign) at (x, y) of the axes' data."""
    axes.text(
        x,
        y,
        text,
        fontsize=size,
        color=color,
        ha=ha,
        va=va,
        fontweight=weight,
        family=families or ["DejaVu Sans"],
        parse_math=False,
        zorder=4,
    )


def png(figure: Figure) -> bytes:
    """The figure as a PNG file's bytes, the same for the same figure."""
    stream = BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()
