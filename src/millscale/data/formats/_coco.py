"""One COCO JSON file: images, annotations, categories; boxes are left, top, width, height in pixels, 0-based.

T.-Y. Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014. ``iscrowd`` marks a region that evaluation
ignores, which is what ``difficult`` means here: it is read from and written to that key (``ignore`` is read too).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millscale.core.types import Problem
from millscale.data.formats._drawn import Annotation, AnnotationError, Corners, DrawnBox, finite, read_text, unreadable
from millscale.data.formats._json_lines import entry_lines

_EXPECTED = "COCO JSON: an object with the lists images, annotations and categories"


_Id = int | float | str


@dataclass(frozen=True)
class CocoFile:
    """What one file says.

    Attributes:
        images: file name as spelled → its annotation, in the file's order.
        classes: names of its categories.
        problems: entries that cannot be used; ``image`` in them is the file name as spelled.
    """

    images: Mapping[str, Annotation]
    classes: tuple[str, ...]
    problems: tuple[Problem, ...]


def read_coco(path: Path) -> CocoFile:
    """Parse one file.

    An entry that cannot be used makes the boxes of its own image unknown, not those of the others.

    Raises:
        AnnotationError: no JSON, or not of this form.
    """
    text = read_text(path, _EXPECTED)
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise AnnotationError(f"{path}:{error.lineno}", _EXPECTED, error) from error
    except (RecursionError, ValueError) as error:
        raise AnnotationError(str(path), _EXPECTED, error) from error
    return _Parser(path, text, document).file()


def write_coco(
    path: Path, images: Iterable[tuple[str, tuple[int, int], Sequence[DrawnBox]]], classes: Sequence[str]
) -> None:
    """Write one file, which `read_coco` reads back without loss; ids count from 1.

    Args:
        images: file name, (width, height) and boxes of each annotated image.
        classes: all of them, also those without a box.
    """
    number = {name: index for index, name in enumerate(classes, 1)}
    entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, (name, (width, height), boxes) in enumerate(images, 1):
        entries.append({"id": image_id, "file_name": name, "width": width, "height": height})
        annotations += [_entry(box, image_id, number[box.name], len(annotations) + i) for i, box in enumerate(boxes, 1)]
    categories = [{"id": index, "name": name, "supercategory": name} for name, index in number.items()]
    document = {"images": entries, "annotations": annotations, "categories": categories}
    lines = [f' "{key}": [{_listed(value)}]' for key, value in document.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _listed(entries: Sequence[Mapping[str, Any]]) -> str:
    """One entry a line, so that a person can find the line that a problem names."""
    return ",".join(f"\n  {json.dumps(entry, ensure_ascii=False)}" for entry in entries)


def _entry(box: DrawnBox, image_id: int, category_id: int, number: int) -> dict[str, Any]:
    left, top, right, bottom = box.xyxy
    width, height = right - left, bottom - top
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "bbox": [_short(value) for value in (left, top, width, height)],
        "area": _short(width * height),
        "iscrowd": int(box.difficult),
        "segmentation": [],
    }


def _short(value: float) -> int | float:
    return int(value) if value.is_integer() else value


class _Parser:
    """One document on its way to a `CocoFile`."""

    def __init__(self, path: Path, text: str, document: Any) -> None:
        self._path, self._text, self._document = path, text, document
        self._problems: list[Problem] = []
        self._unknown: set[_Id] = set()
        """Ids of images whose boxes stay unknown."""

    def file(self) -> CocoFile:
        images, annotations = self._entries("images"), self._entries("annotations")
        names = _class_names([entry for _, entry in self._entries("categories")], [e for _, e in annotations])
        boxes = self._boxes(annotations, self._file_names(images), names)
        found: dict[str, Annotation] = {}
        for place, entry in images:
            drawn = None if _id(entry, "id") in self._unknown else tuple(boxes.get(_id(entry, "id"), ()))
            found[_file_name(entry)] = Annotation(place, drawn, _size(entry))
        return CocoFile(found, tuple(dict.fromkeys(names.values())), tuple(self._problems))

    def _entries(self, key: str) -> list[tuple[str, dict[str, Any]]]:
        """The entries of one list, each with its ``file:line``."""
        entries = self._document.get(key) if isinstance(self._document, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise AnnotationError(str(self._path), _EXPECTED, f"no list of objects '{key}'")
        lines = entry_lines(self._text, key, len(entries))
        return [(f"{self._path}:{line}", entry) for line, entry in zip(lines, entries, strict=True)]

    def _file_names(self, images: Sequence[tuple[str, dict[str, Any]]]) -> dict[_Id, str]:
        """Image id → file name; where an id or a name stands twice, nobody knows whose boxes these are."""
        names: dict[_Id, str] = {}
        ids: dict[str, _Id] = {}
        for place, entry in images:
            image_id, name = _id(entry, "id"), _file_name(entry)
            if image_id in names or name in ids:
                error = AnnotationError(place, "images of different id and name", f"'{name}', id {image_id!r}, again")
                self._problems += [unreadable(error, n) for n in {name, names.get(image_id, name)}]
                self._unknown |= {image_id, ids.get(name, image_id)}
            names[image_id], ids[name] = name, image_id
        return names

    def _boxes(
        self, annotations: Sequence[tuple[str, dict[str, Any]]], images: Mapping[_Id, str], names: Mapping[_Id, str]
    ) -> dict[_Id, list[DrawnBox]]:
        boxes: dict[_Id, list[DrawnBox]] = {}
        for place, entry in annotations:
            image_id, category = _id(entry, "image_id"), _id(entry, "category_id")
            if image_id not in images:
                self._problems.append(_no_such_image(place, image_id))
            elif category not in names:
                self._problems.append(_unknown_class(place, category, images[image_id]))
            else:
                try:
                    box = DrawnBox(names[category], _corners(entry, place), _ignored(entry, place), place)
                    boxes.setdefault(image_id, []).append(box)
                except AnnotationError as error:
                    self._problems.append(unreadable(error, images[image_id]))
                    self._unknown.add(image_id)
        return boxes


def _no_such_image(place: str, image_id: _Id) -> Problem:
    message, fix = f"annotates image {image_id!r}, which is not listed", "Add the image, or remove the entry."
    return Problem("no_image", place, message, fix, blocking=True)


def _unknown_class(place: str, category: _Id, image: str) -> Problem:
    message = f"a box of category {category!r}, which is not listed: left out"
    fix = "Add the category, or correct the entry."
    return Problem("unknown_class", place, message, fix, blocking=True, image=image)


def _corners(entry: Mapping[str, Any], place: str) -> Corners:
    """The entry's box, or the one around its polygons."""
    expected = "a bbox of four finite numbers"
    box, outline = entry.get("bbox"), entry.get("segmentation")
    if isinstance(box, list) and len(box) == 4:
        left, top, width, height = finite(box, place, expected)
        return left, top, left + width, top + height
    if not box and isinstance(outline, list) and outline and all(isinstance(ring, list) for ring in outline):
        numbers = finite([value for ring in outline for value in ring], place, expected)
        if len(numbers) >= 6:
            return min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2])
    raise AnnotationError(place, expected, repr(box)[:80])


def _ignored(entry: Mapping[str, Any], place: str) -> bool:
    """Is the entry marked? Some write numbers as text."""
    marks = [str(entry.get(key) or 0).lower() for key in ("iscrowd", "ignore")]
    if not {*marks} <= {"0", "0.0", "1", "1.0", "true", "false"}:
        raise AnnotationError(place, "iscrowd and ignore of 0 or 1", ", ".join(marks)[:80])
    return any(mark in ("1", "1.0", "true") for mark in marks)


def _id(entry: Mapping[str, Any], key: str) -> _Id:
    value = entry.get(key)
    return value if isinstance(value, (int, float, str)) else repr(value)


def _file_name(entry: Mapping[str, Any]) -> str:
    return str(entry.get("file_name", ""))


def _size(entry: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = entry.get("width"), entry.get("height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) and width > 0 < height else None


def _class_names(categories: Sequence[dict[str, Any]], annotations: Sequence[dict[str, Any]]) -> dict[_Id, str]:
    """Category id → name, less the parent category without any box that Roboflow puts in front of the classes."""
    drawn = {_id(entry, "category_id") for entry in annotations}
    names = {_id(entry, "id"): str(entry.get("name", "")).strip() or str(_id(entry, "id")) for entry in categories}
    parents = {c["supercategory"] for c in categories if _has_parent(c)}
    return {number: name for number, name in names.items() if number in drawn or name not in parents}


def _has_parent(category: Mapping[str, Any]) -> bool:
    parent = category.get("supercategory")
    return isinstance(parent, str) and parent != category.get("name")
