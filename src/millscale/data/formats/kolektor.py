"""Masks beside their images, as KolektorSDD's ``kos01/Part0.jpg`` + ``Part0_label.bmp``, or ``10.png`` + ``10_GT.png``.

An image is "defect" where its mask has a foreground pixel, else "good". Folders that end in a number are parts:
their images belong together. Other folders are classes. Decodes the masks, as ``masks`` does.
"""

from millscale.data.formats._annotated import AnnotatedImages, annotated_content, annotated_manifest
from millscale.data.formats._drawn import no_annotation
from millscale.data.formats._mask_boxes import read_masks
from millscale.data.formats._mask_files import masks_named, without
from millscale.data.formats._pairing import class_folders_of
from millscale.data.manifest import Manifest
from millscale.data.scan import Scan

DESCRIPTION = "masks beside their images: kos01/Part0.jpg + Part0_label.bmp, train/10000.png + 10000_GT.png"
PRIORITY = 57

GOOD, DEFECT = "good", "defect"


def matches(folder: Scan) -> bool:
    """Does a mask of its name lie beside most images?"""
    content = annotated_content(folder)
    return 3 * len(masks_named(content)) > len(content.images)


def read(folder: Scan) -> Manifest:
    """The folder's manifest with masks, boxes, and the parts as groups."""
    content = annotated_content(folder)
    masks = masks_named(content)
    pictures = without(content, masks.values())
    folders = {image: class_folders_of(image) for image in pictures.images}
    in_parts = all(names and names[-1][-1].isdigit() for names in folders.values())
    kinds = {image: names[-1] for image, names in folders.items() if names and not in_parts}
    annotations, problems = read_masks(content, masks, {image: kinds.get(image, DEFECT) for image in masks})
    specks = {problem.image for problem in problems if problem.code == "mask_specks"}
    labels = {
        image: DEFECT if annotation.boxes or str(image) in specks else GOOD
        for image, annotation in annotations.items()
        if annotation.mask and image not in kinds
    }
    found = AnnotatedImages(
        pictures.images,
        annotations,
        used=frozenset(),
        classes=sorted(set(labels.values())),
        problems=[
            *problems,
            *(no_annotation(content.root / image, "mask") for image in pictures.images if image not in masks),
        ],
        labels=labels,
        groups={image: str(image.parent) for image in pictures.images if in_parts},
    )
    return annotated_manifest(folder.root, content, found)
