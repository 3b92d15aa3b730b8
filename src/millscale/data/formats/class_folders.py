"""``<class>/*.bmp``: one folder a class; folders inside a class folder belong to that class."""

from pathlib import Path

from millscale.data.formats._assemble import assemble, by_folder, class_folders
from millscale.data.formats._mask_files import masks_beside, with_masks, without
from millscale.data.formats._scan import Scan, narrowed, placed, scan
from millscale.data.manifest import Manifest

DESCRIPTION = "one folder a class: <class>/*.bmp"
PRIORITY = 20


def matches(root: Path) -> bool:
    """Do most images lie in folders that are neither a split nor just called "images"?"""
    places = [placed(image)[1] for image in _content(root).images]
    return 2 * sum(bool(folders) for folders in places) > len(places)


def read(root: Path) -> Manifest:
    """The folder's manifest; labels are the names of the class folders. A mask beside its image is the record's mask.

    Raises:
        DataError: ``root`` is not a folder.
    """
    content = _content(root)
    masks = masks_beside(content)
    pictures = without(content, [mask for mask, _ in masks.values()])
    return with_masks(assemble(root, pictures, by_folder(pictures), class_folders(pictures)), content, masks)


def _content(root: Path) -> Scan:
    return narrowed(scan(root), to_images=False)
