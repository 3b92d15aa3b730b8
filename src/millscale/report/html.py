"""One self-contained page: the answer first, then why it can be believed.

Nothing on the page reaches the network (a content security policy forbids it), every name is escaped, and
the charts are the page's own text and vectors: they follow light and dark, print, fit a telephone and show
any script that the reader's browser can. The PNG files beside it are for papers and slides.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure
from PIL import Image as Pillow

from millscale.core.files import whole, write_whole
from millscale.core.types import Image
from millscale.report.anomaly import anomaly_contents
from millscale.report.classification import classification_contents
from millscale.report.clusters import clusters_contents
from millscale.report.detection import detection_contents
from millscale.report.figures.style import png
from millscale.report.frame import Values
from millscale.report.report import AnomalyReport, ClusterReport, DetectionReport, Report


def write_report(path: Path, report: Report | DetectionReport | AnomalyReport | ClusterReport) -> tuple[Path, ...]:
    """Write the page to ``path`` and its figures as PNG files beside it.

    Args:
        path: the HTML file, such as ``report.html``; the figures become ``report-errors.png`` and so on.
        report: what to show, of a classifier, a detector, an anomaly detector or clusters.

    Returns:
        The files written, the page first.
    """
    if isinstance(report, Report):
        template, (values, figures) = "classification.html.j2", classification_contents(report)
    elif isinstance(report, DetectionReport):
        template, (values, figures) = "detection.html.j2", detection_contents(report)
    elif isinstance(report, ClusterReport):
        template, (values, figures) = "clusters.html.j2", clusters_contents(report)
    else:
        template, (values, figures) = "anomaly.html.j2", anomaly_contents(report)
    write_whole(path, render(template, values))
    mosaic = None if isinstance(report, ClusterReport) else report.mosaic
    return (path, *_write_figures(path, figures, mosaic))


def render(template: str, values: Values) -> bytes:
    """The page as UTF-8."""
    environment = Environment(
        loader=PackageLoader("millscale", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    text = environment.get_template(template).render(values)
    # A file name may hold bytes that are no text; they must not keep the page from being written.
    return text.encode("utf-8", "replace")


def _write_figures(path: Path, figures: Mapping[str, Figure], mosaic: Image | None) -> Iterator[Path]:
    for name, figure in figures.items():
        target = path.with_name(f"{path.stem}-{name}.png")
        write_whole(target, png(figure))
        yield target
    if mosaic is not None:
        target = path.with_name(f"{path.stem}-overlaps.png")
        with whole(target) as partial:
            Pillow.fromarray(mosaic).save(partial, "PNG")
        yield target
