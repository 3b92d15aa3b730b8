"""The page of a learning curve."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from millscale.core.files import write_whole
from millscale.metrics.classification import Floats
from millscale.report.figures.learning import draw_learning_curve
from millscale.report.figures.lettering import visible
from millscale.report.figures.style import png
from millscale.report.frame import percent
from millscale.report.html import render
from millscale.report.thumbnails import png_address


def write_curve_page(
    path: Path, labels: Sequence[int], curves: Mapping[str, Sequence[Floats]], facts: Mapping[str, int], title: str
) -> None:
    """Write the page to ``path`` and its chart as a PNG file beside it.

    Args:
        path: the HTML file.
        labels: of each class, rising.
        curves: by what was taught, the accuracies of every draw at each size.
        facts: "images", "classes", "groups" and "draws".
        title: the data set's name.
    """
    picture = png(draw_learning_curve(labels, curves))
    rows = [
        {"labels": count, "cells": [accuracy(draws[number]) for draws in curves.values()]}
        for number, count in enumerate(labels)
    ]
    chart = {"chart": png_address(picture), "names": list(curves), "rows": rows}
    write_whole(path, render("curve.html.j2", {"title": visible(title), **chart, **facts}))
    write_whole(path.with_suffix(".png"), picture)


def accuracy(draws: Floats) -> str:
    """Mean ± standard deviation of the ``(draws,)`` that were judged, as text; a dash where none was."""
    known = draws[np.isfinite(draws)]
    return f"{percent(float(known.mean()))} ± {100 * float(known.std()):.2f}" if len(known) else "–"
