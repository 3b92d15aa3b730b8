"""From mask files to annotations: each connected part is a box, what is wrong is told."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from millscale.core.errors import DataError
from millscale.core.types import Problem
from millscale.data.formats._drawn import Annotation, AnnotationError, Corners, DrawnBox, unreadable
from millscale.data.formats._mask_files import mask_of_size
from millscale.data.masks import parts_of_mask
from millscale.data.scan import Scan
from millscale.imaging.decode import read_size

MIN_AREA = 4
"""Pixels. Smaller parts are specks of an annotator's brush; the problem "mask_specks" tells of them."""


def read_masks(
    content: Scan, masks: Mapping[PurePosixPath, PurePosixPath], names: Mapping[PurePosixPath, str]
) -> tuple[dict[PurePosixPath, Annotation], list[Problem]]:
    """What each mask shows, as boxes of the image's class, and what is wrong with it.

    Args:
        content: the folder.
        masks: image → mask.
        names: the class of each image.
    """
    annotations: dict[PurePosixPath, Annotation] = {}
    problems: list[Problem] = []
    for image, mask in masks.items():
        path = content.root / mask
        try:
            boxes, specks = _boxes(path, read_size(content.root / image), names[image])
        except AnnotationError as error:
            annotations[image] = Annotation(error.place, None)
            problems.append(unreadable(error, str(image)))
        except DataError:  # an image that cannot be opened is reported as such
            annotations[image] = Annotation(str(path), None)
        else:
            annotations[image] = Annotation(str(path), boxes, mask=path)
            problems += [_specks(path, specks, str(image))] if specks else []
    return annotations, problems


def _boxes(path: Path, size: tuple[int, int], name: str) -> tuple[tuple[DrawnBox, ...], int]:
    """The boxes of one mask, and how many parts were too small for one."""
    found, areas = parts_of_mask(mask_of_size(path, size))
    large = areas >= MIN_AREA
    corners: list[Corners] = [(left, top, right, bottom) for left, top, right, bottom in found[large].tolist()]
    boxes = tuple(DrawnBox(name, each, difficult=False, place=str(path)) for each in corners)
    return boxes, int((~large).sum())


def _specks(path: Path, count: int, image: str) -> Problem:
    message = f"{count} parts of fewer than {MIN_AREA} pixels: no boxes"
    return Problem("mask_specks", str(path), message, "Erase them, or draw them larger.", image=image)
