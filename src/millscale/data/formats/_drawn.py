"""What annotation files say of an image, before it is checked: the one value between parsers and manifests."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from millscale.core.errors import DataError
from millscale.core.types import Problem

Corners = tuple[float, float, float, float]


@dataclass(frozen=True)
class DrawnBox:
    """One annotated object.

    Attributes:
        name: class as the file spells it.
        xyxy: left, top, right, bottom, half-open pixels of the image, as annotated (not clipped).
        difficult: the annotator's mark.
        place: where it stands, ``file:line``.
    """

    name: str
    xyxy: Corners
    difficult: bool
    place: str


@dataclass(frozen=True)
class Annotation:
    """All that is annotated on one image.

    Attributes:
        place: where it stands, ``file`` or ``file:line``.
        boxes: the objects, in the file's order; None where the file cannot be read: then they are unknown.
        size: (width, height) that the file declares, or None.
        mask: pixel mask file, or None.
    """

    place: str
    boxes: tuple[DrawnBox, ...] | None
    size: tuple[int, int] | None = None
    mask: Path | None = None


@dataclass(frozen=True)
class Reading:
    """An image with what its own annotation file says, and what is wrong with that file."""

    image: PurePosixPath
    annotation: Annotation
    problems: tuple[Problem, ...] = ()


class AnnotationError(DataError):
    """An annotation that cannot be read.

    Attributes:
        place: ``file:line``, or the file where no line is to blame.
        finding: what was expected there and what was found.
    """

    def __init__(self, place: str, expected: str, found: object) -> None:
        self.place = place
        self.finding = f"expected {expected}, found: {found}"
        super().__init__(f"{place}: {self.finding}. Correct or remove it.")


def unreadable(error: AnnotationError, image: str | None) -> Problem:
    """The blocking problem of an annotation that cannot be read; the boxes of ``image`` (its id) are then unknown."""
    fix = "Correct the file, or remove it."
    return Problem("unreadable_annotation", error.place, error.finding, fix, blocking=True, image=image)


def no_annotation(image: Path, what: str) -> Problem:
    """The problem of an image without annotation, which is not the same as one that shows nothing."""
    message = f"no {what} of this name: its boxes are unknown"
    return Problem("no_annotation", str(image), message, f"Add the {what}, an empty one where it shows nothing.")


def no_image(place: object, what: str) -> Problem:
    """The blocking problem of an annotation whose image is missing."""
    return Problem(
        "no_image", str(place), "no image of this name", f"Add the image, or remove the {what}.", blocking=True
    )


def finite(values: Iterable[object], place: str, expected: str) -> list[float]:
    """The values as numbers.

    Raises:
        AnnotationError: one is no number, or not a finite one.
    """
    numbers = []
    for value in values:
        try:
            number = float(str(value))
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise AnnotationError(place, expected, repr(value))
        numbers.append(number)
    return numbers


def read_text(path: Path, expected: str) -> str:
    """The text of a UTF-8 file, with or without byte order mark.

    Raises:
        AnnotationError: it cannot be opened, or is no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise AnnotationError(str(path), expected, error) from error
