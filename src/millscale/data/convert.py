"""Lay a data set out anew."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from millscale.core.errors import DataError
from millscale.data.manifest import ImageRecord, Manifest
from millscale.data.read import read


def to_class_folders(manifest: Manifest, destination: Path) -> Manifest:
    """Copy a labelled data set to ``destination/<class>/<file name>`` and read it back; splits are merged.

    Args:
        manifest: the data set, of any layout.
        destination: a new or empty folder; it appears whole or not at all.

    Raises:
        DataError: the destination holds something, or two images of one class have the same file name.
    """
    with whole_folder(destination) as folder:
        copy_to_class_folders(manifest, folder)
    return read(destination)


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
        DataError: two images of one class have the same file name.
    """
    for name in manifest.classes:
        (folder / name).mkdir()
    for record in manifest.records:
        if record.label is not None:
            copy_image(record, folder / record.label)


def copy_image(record: ImageRecord, folder: Path) -> None:
    """Copy the image into ``folder`` under its own name.

    Raises:
        DataError: the name is taken.
    """
    target = folder / record.path.name
    if target.exists():
        raise DataError(f"{record.id}: expected one image of this name in a class, found two. Rename one.")
    shutil.copyfile(record.path, target)
