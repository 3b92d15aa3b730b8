"""Pixel masks: ``images/*.jpg`` + ``masks/*.png`` of equal names, or MVTec's ``ground_truth/<defect>/000_mask.png``.

Each connected part of a mask is a box (of `MIN_AREA` pixels or more). Its class is the image's: the class folder, else
the NEU prefix of its name, else "defect". Where the images of one class folder have no mask and others have, as MVTec's
"good", they show nothing. Named as format, it also reads masks that lie beside their images, as the magnetic tiles'.

Unlike other formats this one decodes pixels, of the masks: the boxes are nowhere else.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from millscale.core.errors import DataError
from millscale.core.types import Problem
from millscale.data.classes import neu_class, original_stem, prefix_of
from millscale.data.formats._annotated import AnnotatedImages, annotated_content, annotated_manifest
from millscale.data.formats._drawn import (
    Annotation,
    AnnotationError,
    Corners,
    DrawnBox,
    no_annotation,
    no_image,
    unreadable,
)
from millscale.data.formats._mask_files import masks_beside, masks_in_folders, read_mask, without
from millscale.data.formats._pairing import MASK_FOLDERS, class_folders_of, lies_in
from millscale.data.formats._scan import Scan
from millscale.data.manifest import Manifest
from millscale.data.masks import boxes_of_mask
from millscale.imaging.decode import read_size

DESCRIPTION = "images/*.jpg + masks/*.png of equal names, or ground_truth/<defect>/*_mask.png"
PRIORITY = 55

MIN_AREA = 4
"""Pixels. Smaller parts are specks of an annotator's brush; the problem "mask_specks" tells of them."""
_ANY = "defect"


def matches(root: Path) -> bool:
    """Does an image have a mask of its name in a folder of masks?"""
    return bool(masks_in_folders(annotated_content(root)))


def read(root: Path) -> Manifest:
    """The folder's manifest with masks and boxes.

    Raises:
        DataError: ``root`` is not a folder.
    """
    content = annotated_content(root)
    masks = masks_in_folders(content) or masks_beside(content)
    pictures = without(content, masks)
    orphans = {path for path in pictures.images if masks and lies_in(path, MASK_FOLDERS)}
    images = [path for path in pictures.images if path not in orphans]
    names = _class_names(images)
    annotations, problems = _read_masks(content, masks, names)
    clean = _clean(images, masks, names)
    annotations |= {image: Annotation(str(content.root / image), ()) for image in clean}
    found = AnnotatedImages(
        images,
        annotations,
        used=frozenset(),
        problems=[
            *problems,
            *_taken_for_clean(content, clean),
            *(no_annotation(content.root / image, "mask") for image in images if image not in annotations),
            *(no_image(content.root / path, "mask") for path in sorted(orphans)),
        ],
    )
    return annotated_manifest(root, content, found)


def _class_names(images: Sequence[PurePosixPath]) -> dict[PurePosixPath, str]:
    prefixes = {image: neu_class(prefix_of(original_stem(image.stem)) or "") for image in images}
    folders = {image: class_folders_of(image) for image in images}
    return {i: folders[i][-1] if folders[i] else prefixes[i] or _ANY for i in images}


def _read_masks(
    content: Scan, masks: Mapping[PurePosixPath, PurePosixPath], names: Mapping[PurePosixPath, str]
) -> tuple[dict[PurePosixPath, Annotation], list[Problem]]:
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
    mask = read_mask(path, size)
    corners: list[Corners] = [
        (left, top, right, bottom) for left, top, right, bottom in boxes_of_mask(mask, MIN_AREA).tolist()
    ]
    boxes = tuple(DrawnBox(name, each, difficult=False, place=str(path)) for each in corners)
    return boxes, len(boxes_of_mask(mask)) - len(boxes)


def _specks(path: Path, count: int, image: str) -> Problem:
    message = f"{count} parts of fewer than {MIN_AREA} pixels: no boxes"
    return Problem("mask_specks", str(path), message, "Erase them, or draw them larger.", image=image)


def _clean(
    images: Sequence[PurePosixPath], masks: Mapping[PurePosixPath, object], names: Mapping[PurePosixPath, str]
) -> list[PurePosixPath]:
    """The images of class folders without any mask, where other class folders have masks."""
    masked = {names[image] for image in masks}
    return [image for image in images if masked and class_folders_of(image) and names[image] not in masked]


def _taken_for_clean(content: Scan, clean: Sequence[PurePosixPath]) -> list[Problem]:
    by_folder: dict[PurePosixPath, int] = defaultdict(int)
    for image in clean:
        by_folder[image.parent] += 1
    fix = "None, if that is so; else add the masks."
    return [
        Problem("no_masks", str(content.root / folder), f"{count} images without masks: taken as free of defects", fix)
        for folder, count in by_folder.items()
    ]
