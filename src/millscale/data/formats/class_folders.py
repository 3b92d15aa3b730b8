"""``<class>/*.bmp``: one folder a class; folders inside a class folder belong to that class."""

from pathlib import Path

from millscale.data.formats._assemble import assemble, by_folder, class_folders
from millscale.data.formats._scan import Scan, narrowed, placed, scan
from millscale.data.manifest import Manifest

DESCRIPTION = "one folder a class: <class>/*.bmp"
PRIORITY = 20


def matches(root: Path) -> bool:
    """Do most images lie in folders that are neither a split nor just called "images"?"""
    places = [placed(image)[1] for image in _content(root).images]
    return 2 * sum(bool(folders) for folders in places) > len(places)


def read(root: Path) -> Manifest:
    """The folder's manifest; labels are the names of the class folders.

    Raises:
        DataError: ``root`` is not a folder.
    """
    content = _content(root)
    return assemble(root, content, by_folder(content), class_folders(content))


def _content(root: Path) -> Scan:
    return narrowed(scan(root), to_images=False)
