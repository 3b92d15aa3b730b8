"""One YOLO label file: a row an object, ``class centre-x centre-y width height``, relative to the image.

A row of seven numbers or more is a polygon, ``class x y x y x y …``, and becomes the box around it.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from millscale.core.types import Problem
from millscale.data.formats._drawn import AnnotationError, Corners, DrawnBox, finite, read_text

WHOLE = 1e-3
"""Pixels. A corner nearer than this to a whole pixel is taken to lie on it: relative coordinates round."""

_EXPECTED = "a row 'class centre-x centre-y width height', or 'class x y x y x y …'"


def read_labels(
    path: Path, size: tuple[int, int], names: Mapping[int, str] | None, difficult: frozenset[int]
) -> tuple[tuple[DrawnBox, ...], list[Problem]]:
    """The objects of one file, and those whose class is unknown.

    Args:
        size: (width, height) of the upright image.
        names: of the classes; None where the data set declares none: their numbers are their names.
        difficult: numbers of the lines whose objects are difficult.

    Raises:
        AnnotationError: no text, or a row that is not of the form.
    """
    boxes, problems = [], []
    for number, row in enumerate(read_text(path, _EXPECTED).splitlines(), 1):
        words, place = row.split(), f"{path}:{number}"
        if not words:
            continue
        kind = _class(words[0], place)
        corners = _corners(finite(words[1:], place, _EXPECTED), size, place)
        if names is None or kind in names:
            name = str(kind) if names is None else names[kind]
            boxes.append(DrawnBox(name, corners, number in difficult, place))
        else:
            problems.append(_unknown_class(kind, place))
    return tuple(boxes), problems


def write_labels(path: Path, size: tuple[int, int], boxes: Iterable[DrawnBox], classes: Sequence[str]) -> None:
    """Write one file; corners read back within 1e-3 px, whole pixels exactly."""
    path.write_text("".join(f"{_row(box, size, classes)}\n" for box in boxes), encoding="utf-8")


def _class(word: str, place: str) -> int:
    number = finite([word], place, _EXPECTED)[0]
    if not number.is_integer():
        raise AnnotationError(place, "a whole number for the class", repr(word))
    return int(number)


def _corners(numbers: Sequence[float], size: tuple[int, int], place: str) -> Corners:
    if len(numbers) == 4:
        x, y, width, height = numbers
        relative = x - width / 2, y - height / 2, x + width / 2, y + height / 2
    elif len(numbers) >= 6 and len(numbers) % 2 == 0:
        relative = min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2])
    else:
        found = f"{len(numbers) + 1} numbers" + (", the last perhaps a confidence" if len(numbers) == 5 else "")
        raise AnnotationError(place, _EXPECTED, found)
    left, top, right, bottom = (_snapped(value * side) for value, side in zip(relative, size * 2, strict=True))
    return left, top, right, bottom


def _snapped(value: float) -> float:
    whole = float(np.rint(value))
    return whole if abs(value - whole) < WHOLE else value


def _row(box: DrawnBox, size: tuple[int, int], classes: Sequence[str]) -> str:
    left, top, right, bottom = box.xyxy
    width, height = size
    values = (left + right) / 2 / width, (top + bottom) / 2 / height, (right - left) / width, (bottom - top) / height
    return " ".join((str(classes.index(box.name)), *(f"{value:.10f}" for value in values)))


def _unknown_class(kind: int, place: str) -> Problem:
    message = f"a box of class {kind}, which data.yaml does not name: left out"
    fix = "Name the class in data.yaml, or correct the row."
    return Problem("unknown_class", place, message, fix, blocking=True)
