"""From files with labels to a manifest: headers checked, names made canonical, classes reported on."""

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from millscale.core.errors import DataError
from millscale.core.types import Problem
from millscale.data.classes import canonical_names
from millscale.data.formats._mask_files import masks_beside, with_masks, without
from millscale.data.manifest import ImageRecord, Manifest
from millscale.data.scan import Scan, placed
from millscale.imaging.decode import read_header


@dataclass(frozen=True)
class Labelled:
    """An image file with the label and the split that its place or name gives it."""

    path: PurePosixPath
    label: str | None
    split: str | None


UNLABELLED = frozenset({"unlabelled", "unlabeled"})
"""Folder names that say nobody has named the class yet."""


def by_folder(content: Scan) -> list[Labelled]:
    """Each image that lies in a class folder, with that folder's name as label; None in an "unlabelled" folder."""
    places = [(image, *placed(image)) for image in content.images]
    return [Labelled(image, _label(folders[0]), split) for image, split, folders in places if folders]


def _label(folder: str) -> str | None:
    return None if folder.lower() in UNLABELLED else folder


def class_folders(content: Scan) -> list[str]:
    """Names of all class folders, also of those without any file in them."""
    names = {folders[0] for image in content.images if (folders := placed(image)[1])}
    filled = {parent for path in (*content.images, *content.others) for parent in path.parents}
    for folder in content.folders:
        place = placed(folder / "image")[1]
        if len(place) == 1 and folder not in filled:
            names.add(place[0])
    return sorted(name for name in names if _label(name))


def assemble(source: Path, content: Scan, images: Sequence[Labelled], classes: Iterable[str]) -> Manifest:
    """The manifest of these images, each with the mask beside it; those that cannot be opened are reported instead."""
    masks = masks_beside(content)
    content = without(content, [mask for mask, _ in masks.values()])
    pictures = {*content.images}
    images = [image for image in images if image.path in pictures]
    names = canonical_names(classes)
    records, unreadable = readable_records(content, images)
    records = [replace(r, label=names[r.label] if r.label is not None else None) for r in records]
    left_out = sorted(set(content.images) - {image.path for image in images})
    problems = [
        *content.problems,
        *unreadable,
        *no_class(content, left_out),
        *not_images(content, content.others),
        *same_names(content, images),
        *small_classes(Counter(r.label for r in records if r.label), sorted(set(names.values()))),
    ]
    manifest = Manifest(tuple(records), tuple(sorted(set(names.values()))), str(source), tuple(problems))
    return with_masks(manifest, content, masks)


def readable_records(content: Scan, images: Sequence[Labelled]) -> tuple[list[ImageRecord], list[Problem]]:
    """Records, sorted by id, of the images whose header is sound, and a blocking problem for each other."""
    records, problems = [], []
    for image in sorted(images, key=lambda image: str(image.path)):
        path = content.root / image.path
        try:
            read_header(path)
        except DataError as error:
            fix = "Replace the file, or remove it."
            problems.append(Problem("unreadable", str(path), str(error), fix, blocking=True))
        else:
            records.append(ImageRecord(str(image.path), path, label=image.label, split=image.split))
    return records, problems


def no_class(content: Scan, images: Iterable[PurePosixPath]) -> list[Problem]:
    """A blocking problem for each image that stands where no class is named."""
    message = "no class: neither its folder nor its name says what it shows"
    fix = "Move it into its class folder."
    return [Problem("no_class", str(content.root / image), message, fix, blocking=True) for image in images]


def not_images(content: Scan, others: Sequence[PurePosixPath]) -> list[Problem]:
    """One problem that names all the files that are no images."""
    if not others:
        return []
    message = f"passed over, because they are not images ({len(others)}): {_first(others)}"
    return [Problem("not_an_image", str(content.root), message, "Nothing, if they are meant to be there.")]


def _first(names: Sequence[object]) -> str:
    return ", ".join(str(name) for name in names[:5]) + (", …" if len(names) > 5 else "")


def same_names(content: Scan, images: Sequence[Labelled]) -> list[Problem]:
    """One problem for images that differ in their ending alone (``a.bmp``, ``a.JPG``): one picture twice?"""
    counts = Counter(image.path.with_suffix("") for image in images)
    twice = sorted(str(path) for path, count in counts.items() if count > 1)
    if not twice:
        return []
    message = f"{len(twice)} names stand for several images, with different endings: {_first(twice)}"
    return [Problem("same_name", str(content.root), message, "Keep one of each, if they are the same picture.")]


def small_classes(counts: Mapping[str, int], classes: Sequence[str], listed: Container[str] = ()) -> list[Problem]:
    """Classes with no usable image, and with a single one, given the images of each, and which a file lists."""
    problems = []
    for name in classes:
        if not counts.get(name):
            message, fix = f"class '{name}' has no usable image", "Add images, or remove the folder."
            if name in listed:
                message, fix = f"class '{name}' is listed, but no box is of it", "None, if none is to be."
            problems.append(Problem("empty_class", name, message, fix))
        elif counts[name] == 1:
            message = f"class '{name}' has a single image: it cannot be both learned from and tested on"
            problems.append(Problem("single_image_class", name, message, "Add images of this class."))
    return problems
