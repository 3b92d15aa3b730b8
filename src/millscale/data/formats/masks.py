"""Pixel masks: ``images/*.jpg`` + ``masks/*.png`` of equal names, or MVTec's ``ground_truth/<defect>/000_mask.png``.

Each connected part of a mask is a box (of `MIN_AREA` pixels or more). Its class is the image's: the class folder, else
the NEU prefix of its name, else "defect". Images without mask of a class folder called good, as MVTec's, show nothing;
where none is called so, those of the folders that have no mask at all. Named as format, it also reads masks that lie
beside their images, as the magnetic tiles'.

Unlike other formats this one decodes pixels, of the masks: the boxes are nowhere else.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from millscale.core.types import Problem
from millscale.data.classes import is_good, neu_class, original_stem, prefix_of
from millscale.data.formats._annotated import AnnotatedImages, annotated_content, annotated_manifest
from millscale.data.formats._drawn import Annotation, no_annotation, no_image
from millscale.data.formats._mask_boxes import read_masks
from millscale.data.formats._mask_files import contradiction, masks_beside, masks_in_folders, without
from millscale.data.formats._pairing import MASK_FOLDERS, class_folders_of, lies_in
from millscale.data.manifest import Manifest
from millscale.data.scan import Scan

DESCRIPTION = "images/*.jpg + masks/*.png of equal names, or ground_truth/<defect>/*_mask.png"
PRIORITY = 55

_ANY = "defect"


def matches(folder: Scan) -> bool:
    """Does an image have a mask of its name in a folder of masks?"""
    return bool(masks_in_folders(annotated_content(folder)))


def read(folder: Scan) -> Manifest:
    """The folder's manifest with masks and boxes."""
    content = annotated_content(folder)
    masks = masks_in_folders(content) or {i: mask for i, (mask, _) in masks_beside(content).items()}
    pictures = without(content, masks.values())
    orphans = {path for path in pictures.images if masks and lies_in(path, MASK_FOLDERS)}
    images = [path for path in pictures.images if path not in orphans]
    names = _class_names(images)
    annotations, problems = read_masks(content, masks, names)
    clean = _clean(images, masks, names)
    annotations |= {image: Annotation(str(content.root / image), ()) for image in clean}
    found = AnnotatedImages(
        images,
        annotations,
        used=frozenset(),
        problems=[
            *problems,
            *_contradictions(annotations, names, told={problem.path for problem in problems}),
            *_taken_for_clean(content, clean),
            *(no_annotation(content.root / image, "mask") for image in images if image not in annotations),
            *(no_image(content.root / path, "mask") for path in sorted(orphans)),
        ],
    )
    return annotated_manifest(folder.root, content, found)


def _class_names(images: Sequence[PurePosixPath]) -> dict[PurePosixPath, str]:
    prefixes = {image: neu_class(prefix_of(original_stem(image.stem)) or "") for image in images}
    folders = {image: class_folders_of(image) for image in images}
    return {i: folders[i][-1] if folders[i] else prefixes[i] or _ANY for i in images}


def _contradictions(
    annotations: Mapping[PurePosixPath, Annotation], names: Mapping[PurePosixPath, str], told: set[str]
) -> list[Problem]:
    """Where a class folder and a mask in it do not say the same, unless the mask was complained of already."""
    found = (
        contradiction(names[image], a.mask, str(image), shows=bool(a.boxes))
        for image, a in annotations.items()
        if a.mask and class_folders_of(image) and str(a.mask) not in told
    )
    return [problem for problem in found if problem]


def _clean(
    images: Sequence[PurePosixPath], masks: Mapping[PurePosixPath, object], names: Mapping[PurePosixPath, str]
) -> list[PurePosixPath]:
    """The images without mask of the classes that are called good; where none is, of those without any mask."""
    masked = {names[image] for image in masks}
    good = {name for name in names.values() if is_good(name)} or set(names.values()) - masked
    return [i for i in images if masked and class_folders_of(i) and i not in masks and names[i] in good]


def _taken_for_clean(content: Scan, clean: Sequence[PurePosixPath]) -> list[Problem]:
    by_folder: dict[PurePosixPath, int] = defaultdict(int)
    for image in clean:
        by_folder[image.parent] += 1
    fix = "None, if that is so; else add the masks."
    return [
        Problem("no_masks", str(content.root / folder), f"{count} images without masks: taken as free of defects", fix)
        for folder, count in by_folder.items()
    ]
