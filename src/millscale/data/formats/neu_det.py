"""``IMAGES`` beside ``ANNOTATIONS`` with Pascal VOC XML, as NEU-DET ships; also below train and validation.

An image and its XML are paired by name, first within a split, then anywhere: the Kaggle copy keeps the XML of
``crazing_240`` in the other split.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from millscale.core.errors import DataError
from millscale.core.types import Boxes, Problem
from millscale.data.classes import canonical_names, neu_class, prefix_of
from millscale.data.formats._assemble import (
    Labelled,
    no_class,
    not_images,
    readable_records,
    same_names,
    small_classes,
)
from millscale.data.formats._scan import IMAGE_FOLDERS, Scan, narrowed, placed, scan
from millscale.data.formats._voc import VocBox, read_voc
from millscale.data.manifest import ImageRecord, Manifest
from millscale.imaging.decode import read_size

DESCRIPTION = "images/*.jpg beside annotations/*.xml (Pascal VOC), also below {train,validation}"
PRIORITY = 50

_ANNOTATION_FOLDERS = frozenset({"annotations", "annotation", "xml", "xmls"})


@dataclass(frozen=True)
class _Annotated:
    """An image with the objects of its XML; None where it has none that can be read."""

    image: PurePosixPath
    boxes: list[VocBox] | None


def matches(root: Path) -> bool:
    """Is there an XML in a folder of annotations, and an image in a folder of images?"""
    content = _content(root)
    images = any(_lies_in(image, IMAGE_FOLDERS) for image in content.images)
    return images and bool(_annotations(content))


def read(root: Path) -> Manifest:
    """The folder's manifest with boxes.

    The label is the class folder's name below ``images``; else the file's prefix (``crazing_1``) where every
    image has a NEU one; else the class of most of its boxes.

    Raises:
        DataError: ``root`` is not a folder.
    """
    content = _content(root)
    items, problems = _pair(content)
    labels = _labels(items)
    drawn_names = {box.name for item in items for box in item.boxes or []}
    names = canonical_names(sorted(drawn_names.union(name for name in labels.values() if name)))
    classes = tuple(sorted(set(names.values())))
    images = [Labelled(image, names.get(label or ""), placed(image)[0]) for image, label in labels.items()]
    records, unreadable = readable_records(content, images)
    drawn, wrong = _with_boxes(records, {str(item.image): item.boxes for item in items}, names, classes)
    annotations = set(_annotations(content))
    problems += [
        *unreadable,
        *wrong,
        *no_class(content, [image for image, label in labels.items() if label is None]),
        *not_images(content, [path for path in content.others if path not in annotations]),
        *same_names(content, images),
        *small_classes(drawn, classes),
    ]
    kept = tuple(record for record in drawn if record.label is not None)
    return Manifest(kept, classes, str(root), tuple(problems))


def _content(root: Path) -> Scan:
    return narrowed(scan(root), to_images=False)


def _lies_in(path: PurePosixPath, names: frozenset[str]) -> bool:
    return any(folder.lower() in names for folder in path.parts[:-1])


def _annotations(content: Scan) -> list[PurePosixPath]:
    return [p for p in content.others if p.suffix.lower() == ".xml" and _lies_in(p, _ANNOTATION_FOLDERS)]


def _pair(content: Scan) -> tuple[list[_Annotated], list[Problem]]:
    """Each image with its XML's objects, and what did not pair or could not be read."""
    by_stem: dict[str, list[PurePosixPath]] = defaultdict(list)
    for path in _annotations(content):
        by_stem[path.stem].append(path)
    problems = list(content.problems)
    items, used = [], set()
    for image in content.images:
        xml = _nearest(image, by_stem.get(image.stem, []))
        boxes = None
        if xml is None:
            problems.append(_no_annotation(content.root / image))
        else:
            used.add(xml)
            boxes = _objects(content.root / xml, problems)
        items.append(_Annotated(image, boxes))
    problems += [_no_image(content.root / p) for paths in by_stem.values() for p in paths if p not in used]
    return items, problems


def _nearest(image: PurePosixPath, candidates: Sequence[PurePosixPath]) -> PurePosixPath | None:
    split = placed(image)[0]
    return min(candidates, key=lambda xml: placed(xml)[0] != split, default=None)


def _objects(path: Path, problems: list[Problem]) -> list[VocBox] | None:
    try:
        return read_voc(path)
    except DataError as error:
        fix = "Correct the file, or remove it."
        problems.append(Problem("unreadable_annotation", str(path), str(error), fix, blocking=True))
        return None


def _no_annotation(path: Path) -> Problem:
    return Problem("no_annotation", str(path), "no XML of this name: its boxes are unknown", "Add the XML.")


def _no_image(path: Path) -> Problem:
    return Problem("no_image", str(path), "no image of this name", "Add the image, or remove the XML.")


def _labels(items: Sequence[_Annotated]) -> dict[PurePosixPath, str | None]:
    prefixes = {item.image: prefix_of(item.image.stem) for item in items}
    named = all(prefix is not None and neu_class(prefix) for prefix in prefixes.values())
    labels: dict[PurePosixPath, str | None] = {}
    for item in items:
        folders = placed(item.image)[1]
        by_name = prefixes[item.image] if named else _majority(item.boxes or [])
        labels[item.image] = folders[0] if folders else by_name
    return labels


def _majority(boxes: Sequence[VocBox]) -> str | None:
    """The class of most boxes; of equally many, the one annotated first."""
    counts = Counter(box.name for box in boxes)
    return counts.most_common(1)[0][0] if counts else None


def _with_boxes(
    records: Sequence[ImageRecord],
    boxes: Mapping[str, list[VocBox] | None],
    names: Mapping[str, str],
    classes: Sequence[str],
) -> tuple[list[ImageRecord], list[Problem]]:
    drawn, problems = [], []
    for record in records:
        objects = boxes[record.id]
        if objects is None:
            drawn.append(record)
            continue
        inside, wrong = _inside(objects, record)
        drawn.append(replace(record, boxes=_as_boxes(inside, names, classes)))
        problems += wrong + _box_problems(inside, names, record)
    return drawn, problems


def _inside(objects: Sequence[VocBox], record: ImageRecord) -> tuple[list[VocBox], list[Problem]]:
    """The boxes clipped to the image; those without area are left out, and both are reported."""
    width, height = read_size(record.path)
    kept, problems = [], []
    for box in objects:
        left, right = np.clip((box.xyxy[0], box.xyxy[2]), 0, width).tolist()
        top, bottom = np.clip((box.xyxy[1], box.xyxy[3]), 0, height).tolist()
        clipped = replace(box, xyxy=(left, top, right, bottom))
        empty = left >= right or top >= bottom
        if empty or clipped != box:
            problems.append(_outside(record, box, (width, height), left_out=empty))
        if not empty:
            kept.append(clipped)
    return kept, problems


def _outside(record: ImageRecord, box: VocBox, size: tuple[int, int], *, left_out: bool) -> Problem:
    what = "left out" if left_out else "clipped"
    message = f"box {box.xyxy} of '{box.name}' is empty or leaves the {size[0]} x {size[1]} image: {what}"
    return Problem("box_outside", str(record.path), message, "Correct the annotation.", blocking=left_out)


def _as_boxes(objects: Sequence[VocBox], names: Mapping[str, str], classes: Sequence[str]) -> Boxes:
    return Boxes(
        xyxy=np.array([box.xyxy for box in objects], np.float32).reshape(-1, 4),
        class_id=np.array([classes.index(names[box.name]) for box in objects], np.int64),
        difficult=np.array([box.difficult for box in objects], np.bool_),
    )


def _box_problems(objects: Sequence[VocBox], names: Mapping[str, str], record: ImageRecord) -> list[Problem]:
    """Boxes of another class than the image's, and boxes that stand twice; both are kept."""
    problems = []
    other = Counter(names[box.name] for box in objects if names[box.name] != record.label)
    if other and record.label is not None:
        found = ", ".join(f"{count} of '{name}'" for name, count in sorted(other.items()))
        message = f"labelled '{record.label}', but it also holds boxes: {found}"
        fix = "None needed; the image shows several classes."
        problems.append(Problem("box_class", str(record.path), message, fix))
    twice = len(objects) - len({(names[box.name], box.xyxy) for box in objects})
    if twice:
        message = f"{twice} of its boxes stand twice, same class and same place"
        problems.append(Problem("box_twice", str(record.path), message, "Remove the repeated object."))
    return problems
