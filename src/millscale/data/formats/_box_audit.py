"""Boxes held against their image: what is clipped, what is left out, what is doubtful, each said once."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from millscale.core.types import Boxes, Problem
from millscale.data.formats._drawn import Annotation, DrawnBox
from millscale.data.manifest import ImageRecord

NOISE = 1e-3
"""Pixels. Beyond the frame by less, a box is clipped in silence: relative coordinates round like that."""
LEAST_SIDE = 1 - NOISE
"""Pixels. What is narrower is an annotator's slip."""


def audited_boxes(
    record: ImageRecord, annotation: Annotation, size: tuple[int, int], names: Mapping[str, str], classes: Sequence[str]
) -> tuple[Boxes | None, list[Problem]]:
    """The usable boxes of one image, None where they are unknown, and what is wrong with them.

    Args:
        record: the image, with its label.
        size: (width, height) of its upright picture.
        names: what each class as spelled is called here.
        classes: the manifest's, which ``class_id`` counts.
    """
    if annotation.boxes is None:
        return None, []
    inside, problems = _inside(annotation.boxes, record, size)
    declared = annotation.size
    if declared is not None and declared != size:
        problems.append(_other_size(annotation, size, record))
    problems += _other_class(inside, names, record) + _twice(inside, names, record)
    return _as_boxes(inside, names, classes), problems


def _inside(
    boxes: Sequence[DrawnBox], record: ImageRecord, size: tuple[int, int]
) -> tuple[list[DrawnBox], list[Problem]]:
    """The boxes clipped to the image; those without area are left out, and both are reported."""
    kept, problems = [], []
    for box in boxes:
        clipped = _clipped(box, size)
        left, top, right, bottom = clipped.xyxy
        if left < right and top < bottom:
            kept.append(clipped)
            if min(right - left, bottom - top) < LEAST_SIDE:
                message = f"{_shown(box)} is less than a pixel wide or high: kept, but nobody can find it"
                fix = "Correct the box, or remove it."
                problems.append(Problem("box_tiny", box.place, message, fix, image=record.id))
            if max(abs(a - b) for a, b in zip(box.xyxy, clipped.xyxy, strict=True)) > NOISE:
                message = f"{_shown(box)} leaves the {size[0]} x {size[1]} image: clipped"
                problems.append(Problem("box_outside", box.place, message, "Correct the box.", image=record.id))
        else:
            problems.append(_left_out(box, size, record))
    return kept, problems


def _clipped(box: DrawnBox, size: tuple[int, int]) -> DrawnBox:
    left, right = np.clip((box.xyxy[0], box.xyxy[2]), 0, size[0]).tolist()
    top, bottom = np.clip((box.xyxy[1], box.xyxy[3]), 0, size[1]).tolist()
    return replace(box, xyxy=(left, top, right, bottom))


def _left_out(box: DrawnBox, size: tuple[int, int], record: ImageRecord) -> Problem:
    left, top, right, bottom = box.xyxy
    if right < left or bottom < top:
        code, what = "box_inverted", "is inverted, its right or bottom before its left or top"
    elif right == left or bottom == top:
        code, what = "box_empty", "has no area"
    else:
        code, what = "box_outside", f"lies outside the {size[0]} x {size[1]} image"
    fix = "Correct the box, or remove it."
    return Problem(code, box.place, f"{_shown(box)} {what}: left out", fix, blocking=True, image=record.id)


def _shown(box: DrawnBox) -> str:
    corners = ", ".join(f"{value:g}" for value in box.xyxy)
    return f"the box of '{box.name}' at ({corners})"


def _other_size(annotation: Annotation, size: tuple[int, int], record: ImageRecord) -> Problem:
    declared = annotation.size or size
    message = f"annotated for {declared[0]} x {declared[1]} pixels, but the image has {size[0]} x {size[1]}"
    fix = "Check that the boxes lie right; annotate again if the image was resized or turned."
    return Problem("size_mismatch", annotation.place, message, fix, image=record.id)


def _other_class(boxes: Sequence[DrawnBox], names: Mapping[str, str], record: ImageRecord) -> list[Problem]:
    """Boxes of another class than the image's: kept, told once an image."""
    other = [box for box in boxes if record.label is not None and names[box.name] != record.label]
    if not other:
        return []
    counts = Counter(names[box.name] for box in other)
    found = ", ".join(f"{count} of '{name}'" for name, count in sorted(counts.items()))
    message = f"the image is labelled '{record.label}', but it also holds boxes: {found}"
    fix = "None needed, if the image shows several classes."
    return [Problem("box_class", other[0].place, message, fix, image=record.id)]


def _twice(boxes: Sequence[DrawnBox], names: Mapping[str, str], record: ImageRecord) -> list[Problem]:
    """Boxes that stand twice: kept, told once an image."""
    seen: set[tuple[str, object]] = set()
    again = []
    for box in boxes:
        key = names[box.name], box.xyxy
        if key in seen:
            again.append(box)
        seen.add(key)
    if not again:
        return []
    message = f"{len(again)} of the image's boxes stand twice, same class and same place"
    return [Problem("box_twice", again[0].place, message, "Remove the repeated object.", image=record.id)]


def _as_boxes(boxes: Sequence[DrawnBox], names: Mapping[str, str], classes: Sequence[str]) -> Boxes:
    return Boxes(
        xyxy=np.array([box.xyxy for box in boxes], np.float32).reshape(-1, 4),
        class_id=np.array([classes.index(names[box.name]) for box in boxes], np.int64),
        difficult=np.array([box.difficult for box in boxes], np.bool_),
    )
