"""``<class>/*.bmp``: one folder a class; folders inside a class folder belong to that class."""

from millscale.data.formats._assemble import assemble, by_folder, class_folders
from millscale.data.formats._mask_files import masks_beside, with_masks, without
from millscale.data.manifest import Manifest
from millscale.data.scan import Scan, narrowed, placed

DESCRIPTION = "one folder a class: <class>/*.bmp"
PRIORITY = 20


def matches(folder: Scan) -> bool:
    """Do most images lie in folders that are neither a split nor just called "images"?"""
    places = [placed(image)[1] for image in _content(folder).images]
    return 2 * sum(bool(folders) for folders in places) > len(places)


def read(folder: Scan) -> Manifest:
    """The folder's manifest; labels are the names of the class folders. A mask beside its image is the record's."""
    content = _content(folder)
    masks = masks_beside(content)
    pictures = without(content, [mask for mask, _ in masks.values()])
    return with_masks(assemble(folder.root, pictures, by_folder(pictures), class_folders(pictures)), content, masks)


def _content(folder: Scan) -> Scan:
    return narrowed(folder, to_images=False)
