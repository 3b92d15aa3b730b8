"""Pages about labels: one to click through and fill, one of labels that are probably wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from millscale.core.files import write_whole
from millscale.report.figures.lettering import visible
from millscale.report.frame import Values, percent
from millscale.report.html import render
from millscale.report.thumbnails import Thumbnails, data_address, read_thumbnails

_SIDE = 200


@dataclass(frozen=True)
class Asked:
    """An image that is to be labelled.

    Attributes:
        image: its id.
        path: the file.
        suggestion: what a model would say, or "".
        confidence: how sure it is, or None.
        reason: why it is asked.
    """

    image: str
    path: Path
    suggestion: str
    confidence: float | None
    reason: str


@dataclass(frozen=True)
class Doubted:
    """A label that is probably wrong.

    Attributes:
        image: its id.
        path: the file.
        label: what it is called.
        suggestion: what it probably is.
        score: in [0, 1], how probable the suggestion is beside the label.
        typical: files that show the label as it usually looks, and the suggestion.
    """

    image: str
    path: Path
    label: str
    suggestion: str
    score: float
    typical: tuple[Sequence[Path], Sequence[Path]] = ((), ())


def write_question_page(path: Path, asked: Sequence[Asked], classes: Sequence[str], answers: str) -> None:
    """Write the page on which each image is given a class by a click; it hands back a filled CSV file.

    Args:
        path: the HTML file.
        asked: in the order of the CSV file.
        classes: that there are so far; the page lets one add others.
        answers: the file name that the browser saves under.
    """
    pictures = read_thumbnails((one.path for one in asked), _SIDE)
    rows = [
        {
            "image": one.image,
            "shown": visible(one.image),
            "src": _address(pictures, one.path),
            "suggestion": one.suggestion,
            "confidence": "" if one.confidence is None else f"{one.confidence:.3f}",
            "percent": "" if one.confidence is None else percent(one.confidence, 0),
            "reason": one.reason,
        }
        for one in asked
    ]
    values: Values = {"title": "Images to label", "rows": rows, "classes": list(classes), "answers": answers}
    write_whole(path, render("questions.html.j2", values))


def write_doubt_page(path: Path, doubted: Sequence[Doubted], *, images: int, suspects: int) -> None:
    """Write the page of the most doubtful labels, each beside typical images of both classes.

    Args:
        path: the HTML file.
        doubted: the most doubtful first.
        images: how many labels were judged.
        suspects: how many of them the model contradicts.
    """
    files = [file for one in doubted for file in (one.path, *one.typical[0], *one.typical[1])]
    pictures = read_thumbnails(files, _SIDE)
    rows = [
        {
            "image": visible(one.image),
            "src": _address(pictures, one.path),
            "score": percent(one.score, 1),
            "sides": [
                (name, [_address(pictures, file) for file in files])
                for name, files in zip((one.label, one.suggestion), one.typical, strict=True)
            ],
            "label": one.label,
            "suggestion": one.suggestion,
        }
        for one in doubted
    ]
    values = {"title": "Labels that are probably wrong", "rows": rows, "images": images, "suspects": suspects}
    write_whole(path, render("doubts.html.j2", values))


def _address(pictures: Thumbnails, path: Path) -> str:
    picture = pictures[path]
    return "" if picture is None else data_address(picture)
