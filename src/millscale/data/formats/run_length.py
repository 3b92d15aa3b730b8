"""Run-length CSV, as the Severstal steel competition ships: ``train.csv`` beside folders of images.

Columns ``ImageId,ClassId,EncodedPixels`` or ``ImageId_ClassId,EncodedPixels``; a value is "start length start
length …", starts counted from 1 down the columns of the image. Each connected part of an image's class is a box;
classes are called as the file calls them ("1" … "4"). Images that no row lists are free of defects where their folder
holds listed ones, and not annotated elsewhere (``test_images``).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import DataError
from millscale.core.types import Problem
from millscale.data.formats._annotated import AnnotatedImages, annotated_content, annotated_manifest
from millscale.data.formats._drawn import (
    Annotation,
    AnnotationError,
    DrawnBox,
    no_annotation,
    no_image,
    read_text,
    unreadable,
)
from millscale.data.manifest import Manifest
from millscale.data.masks import boxes_of_mask
from millscale.data.scan import Scan
from millscale.imaging.decode import read_size

DESCRIPTION = "run-length CSV (Severstal): train.csv with ImageId,ClassId,EncodedPixels beside folders of images"
PRIORITY = 80

_TOGETHER = ["ImageId_ClassId", "EncodedPixels"]
_APART = ["ImageId", "ClassId", "EncodedPixels"]
_EXPECTED = "run-length CSV: " + " or ".join(",".join(columns) for columns in (_APART, _TOGETHER))
_NOTHING = ("", "-1")
_RUNS = "pairs of a start, counted from 1, and a length, all inside the image"


def matches(folder: Scan) -> bool:
    """Is there, with images, a CSV whose first line is Severstal's, and which is no submission to fill in?"""
    content = _content(folder)
    return bool(content.images) and bool(_files(content))


def read(folder: Scan) -> Manifest:
    """The folder's manifest with boxes."""
    content = _content(folder)
    files = _files(content)
    rows, problems = _all_rows(content, files)
    images = _by_name(content)
    strange = [row for row in rows if row.image not in images]
    problems += [unreadable(row.error, None) for row in strange if row.error]
    told_of_all = not problems
    annotations: dict[PurePosixPath, Annotation] = {}
    for image, own in _rows_of(rows, images).items():
        annotations[image], wrong = _annotation(image, own, content)
        problems += wrong
    # What cannot be read may concern any image: then one that no row lists is not known to be clean.
    clean = _clean(content, annotations) if told_of_all else []
    annotations |= {image: Annotation(str(content.root / image), ()) for image in clean}
    found = AnnotatedImages(
        content.images,
        annotations,
        used=frozenset(files),
        classes=sorted({row.name for row in rows if row.name}),
        problems=[
            *problems,
            *_taken_for_clean(content, clean),
            *(no_image(row.place, "row") for row in strange if row.error is None),
            *(no_annotation(content.root / image, "row") for image in content.images if image not in annotations),
        ],
    )
    return annotated_manifest(folder.root, content, found)


def decode_runs(text: str, size: tuple[int, int], place: str = "runs") -> NDArray[np.bool_]:
    """The ``(H, W)`` mask of "start length start length …", starts counted from 1 down the columns.

    Args:
        size: (width, height) of the image.
        place: stands in the message.

    Raises:
        AnnotationError: no such numbers, or a run leaves the image.
    """
    width, height = size
    try:
        numbers = np.array(text.split(), np.int64)
    except (ValueError, OverflowError):
        raise AnnotationError(place, _RUNS, repr(text[:60])) from None
    if len(numbers) % 2:
        raise AnnotationError(place, _RUNS, f"{len(numbers)} numbers")
    starts, lengths = numbers[::2] - 1, numbers[1::2]
    ends = starts + lengths
    bad = (starts < 0) | (lengths < 1) | (ends > width * height) | (ends < starts)
    if bad.any():
        start, length = (int(values[bad][0]) for values in (starts + 1, lengths))
        raise AnnotationError(place, _RUNS, f"the run {start} {length} in an image of {width} x {height}")
    change = np.zeros(width * height + 1, np.int64)
    np.add.at(change, starts, 1)
    np.add.at(change, ends, -1)
    columns: NDArray[np.bool_] = np.cumsum(change[:-1]).reshape(width, height) > 0
    return columns.T


@dataclass(frozen=True)
class _Row:
    """One line of a CSV: the runs of one class on one image, possibly none, or why they cannot be read."""

    image: str
    name: str
    runs: str
    place: str
    error: AnnotationError | None = None


def _content(folder: Scan) -> Scan:
    return annotated_content(folder, needed=frozenset({".csv"}))


def _files(content: Scan) -> list[PurePosixPath]:
    named = [path for path in content.others if path.suffix.lower() == ".csv" and "submission" not in path.stem.lower()]
    return [path for path in named if _first_line(content.root / path) in (_TOGETHER, _APART)]


def _first_line(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [name.strip() for name in file.readline(200).split(",")]
    except (OSError, UnicodeDecodeError):
        return []


def _all_rows(content: Scan, files: Sequence[PurePosixPath]) -> tuple[list[_Row], list[Problem]]:
    rows: list[_Row] = []
    problems: list[Problem] = []
    for path in files:
        try:
            text = read_text(content.root / path, _EXPECTED)
        except AnnotationError as error:
            problems.append(unreadable(error, None))
            continue
        rows += _rows(text, content.root / path)
    return rows, problems


def _rows(text: str, path: Path) -> Iterator[_Row]:
    # Not by `csv`, which refuses long values: no column but the first could hold a comma.
    header, *lines = ([value.strip().strip('"') for value in line.split(",")] for line in text.splitlines())
    for number, values in enumerate(lines, 2):
        if values == [""]:
            continue
        place = f"{path}:{number}"
        image, name = values[0].rpartition("_")[::2] if header == _TOGETHER else (values[0], "".join(values[1:2]))
        error = None
        if len(values) != len(header) or not image:
            error = AnnotationError(place, ",".join(header), ",".join(values)[:60])
        elif not name and values[-1] not in _NOTHING:
            error = AnnotationError(place, "a class of these runs", "none")
        yield _Row(image, "" if error else name, values[-1], place, error)


def _by_name(content: Scan) -> dict[str, PurePosixPath]:
    """Images by file name; of two of one name the first, so that one of them gets no boxes instead of foreign ones."""
    names: dict[str, PurePosixPath] = {}
    for image in content.images:
        names.setdefault(image.name, image)
    return names


def _rows_of(rows: Sequence[_Row], images: Mapping[str, PurePosixPath]) -> dict[PurePosixPath, list[_Row]]:
    own: dict[PurePosixPath, list[_Row]] = {}
    for row in rows:
        if row.image in images:
            own.setdefault(images[row.image], []).append(row)
    return own


def _annotation(image: PurePosixPath, rows: Sequence[_Row], content: Scan) -> tuple[Annotation, list[Problem]]:
    try:
        size = read_size(content.root / image)
        boxes = [box for row in rows for box in _boxes(row, size)]
    except AnnotationError as error:
        return Annotation(error.place, None), [unreadable(error, str(image))]
    except DataError:  # an image that cannot be opened is reported as such
        return Annotation(rows[0].place, None), []
    return Annotation(rows[0].place, tuple(boxes)), []


def _boxes(row: _Row, size: tuple[int, int]) -> Iterator[DrawnBox]:
    if row.error:
        raise row.error
    if row.runs in _NOTHING:
        return
    for left, top, right, bottom in boxes_of_mask(decode_runs(row.runs, size, row.place)).tolist():
        yield DrawnBox(row.name, (left, top, right, bottom), difficult=False, place=row.place)


def _clean(content: Scan, annotations: Mapping[PurePosixPath, Annotation]) -> list[PurePosixPath]:
    folders = {image.parent for image in annotations}
    return [image for image in content.images if image not in annotations and image.parent in folders]


def _taken_for_clean(content: Scan, clean: Sequence[PurePosixPath]) -> list[Problem]:
    if not clean:
        return []
    message = f"{len(clean)} images that no row lists, beside listed ones: taken as free of defects"
    return [Problem("no_rows", str(content.root), message, "None, if that is so; else add their rows.")]
