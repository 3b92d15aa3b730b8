"""Lay a data set out anew."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath

from millscale.core.errors import DataError, unknown_name
from millscale.core.types import Problem
from millscale.data.formats import coco, pascal_voc, yolo
from millscale.data.manifest import ImageRecord, Manifest
from millscale.data.read import layout_name, read
from millscale.data.sound import SKIPPED, require_sound


def to_class_folders(manifest: Manifest, destination: Path) -> Manifest:
    """Copy a labelled data set to ``destination/<class>/<file name>`` and read it back; splits are merged.

    Args:
        manifest: the data set, of any layout.
        destination: a new or empty folder; it appears whole or not at all.

    Raises:
        DataError: the destination holds something, no image is labelled, two images of one class have the same file
            name, or a class's name cannot be a folder's.

    Returns:
        The copy as it is read; with the problem `SKIPPED` where images without a label were left out.
    """
    bare = [record.id for record in manifest.records if record.label is None]
    if len(bare) == len(manifest):
        raise DataError(f"{manifest.source}: expected labelled images, found none. Choose a layout with boxes by --to.")
    with whole_folder(destination) as folder:
        copy_to_class_folders(manifest, folder)
    copy = read(destination)
    if not bare:
        return copy
    message = f"{len(bare)} of {len(manifest)} images have no label and were left out: {', '.join(bare)}"
    problem = Problem(SKIPPED, manifest.source, message, "Label them, or choose a layout with boxes.")
    return replace(copy, problems=(*copy.problems, problem))


def to_pascal_voc(manifest: Manifest, destination: Path) -> Manifest:
    """Copy an annotated data set to JPEGImages, Annotations and ImageSets below ``destination``, and read it back.

    Kept are images, boxes, ``difficult``, classes, splits, and which images are annotated; a label only as far as the
    file names or the boxes tell it. The folder appears whole or not at all.

    Raises:
        DataError: the destination holds something, two images have the same name, or no image is annotated.
    """
    with whole_folder(destination) as folder:
        pascal_voc.write(manifest, folder)
    return read(destination, format="pascal_voc")


def to_coco(manifest: Manifest, destination: Path) -> Manifest:
    """Copy an annotated data set to ``annotations/instances_SPLIT.json`` and ``SPLIT/*``, and read it back.

    Kept is what `to_pascal_voc` keeps; names need differ within a split only.

    Raises:
        DataError: as `to_pascal_voc`.
    """
    with whole_folder(destination) as folder:
        coco.write(manifest, folder)
    return read(destination, format="coco")


def to_yolo(manifest: Manifest, destination: Path) -> Manifest:
    """Copy an annotated data set to ``images/SPLIT``, ``labels/SPLIT`` and data.yaml, and read it back.

    Kept is what `to_coco` keeps; corners within 1e-3 px, those within 1e-3 px of a whole pixel as whole ones.

    Raises:
        DataError: as `to_pascal_voc`.
    """
    with whole_folder(destination) as folder:
        yolo.write(manifest, folder)
    return read(destination, format="yolo")


CLASS_FOLDERS = "class_folders"
LAYOUTS: dict[str, Callable[[Manifest, Path], Manifest]] = {
    CLASS_FOLDERS: to_class_folders,
    "pascal_voc": to_pascal_voc,
    "coco": to_coco,
    "yolo": to_yolo,
}
"""What can be written."""


def convert(manifest: Manifest, destination: Path, layout: str, *, skip_bad: bool = False) -> Manifest:
    """Copy a data set to a new folder in another layout, and read it back.

    Args:
        layout: one of ``LAYOUTS``, or as `layout_name` reads it.
        skip_bad: leave out images whose annotations cannot be used. They are refused otherwise, where boxes are
            written: an image would look free of the defects whose boxes cannot be read.

    Returns:
        The copy as it is read; with the problem `SKIPPED` where images were left out.

    Raises:
        UsageError: no such layout.
        DataError: as the layout's own function, or annotations cannot be used.
    """
    layout = layout_name(layout)
    if layout not in LAYOUTS:
        raise unknown_name("layout", layout, LAYOUTS)
    sound = manifest if layout == CLASS_FOLDERS else require_sound(manifest, skip_bad=skip_bad)
    copy = LAYOUTS[layout](sound, destination)
    return replace(copy, problems=(*copy.problems, *sound.problems[len(manifest.problems) :]))


@contextmanager
def whole_folder(destination: Path) -> Iterator[Path]:
    """Offer a folder to fill, which becomes ``destination`` when everything in it is there, or never.

    What an interrupted run left behind is removed.

    Raises:
        DataError: ``destination`` exists and holds something.
    """
    destination = destination.resolve()
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise DataError(f"{destination}: expected a new or empty folder, found other content. Choose another.")
    partial = destination.with_name(f".{destination.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        if destination.exists():
            destination.rmdir()
        partial.rename(destination)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def copy_to_class_folders(manifest: Manifest, folder: Path) -> None:
    """Copy every labelled image to ``folder/<class>/<file name>``; splits are merged.

    Args:
        manifest: the data set.
        folder: exists; a folder for every class is made in it, also for the empty ones.

    Raises:
        DataError: two images of one class have the same file name, or a class's name cannot be a folder's.
    """
    require_folder_names(manifest.classes)
    for name in manifest.classes:
        (folder / name).mkdir()
    for record in manifest.records:
        if record.label is not None:
            copy_image(record, folder / record.label)


def require_folder_names(names: Iterable[str]) -> None:
    """Refuse names of classes that would be no folder, or one elsewhere.

    Raises:
        DataError: such a name.
    """
    for name in names:
        if name in ("", "..") or name != PurePosixPath(name).name or {"\\", "\0"} & {*name}:
            raise DataError(f"Class {name!r}: expected class names that folders can have, found another. Rename it.")


def copy_image(record: ImageRecord, folder: Path) -> None:
    """Copy the image into ``folder`` under its own name.

    Raises:
        DataError: the name is taken.
    """
    target = folder / record.path.name
    if target.exists():
        raise DataError(f"{record.id}: expected one image of this name in a class, found two. Rename one.")
    shutil.copyfile(record.path, target)
