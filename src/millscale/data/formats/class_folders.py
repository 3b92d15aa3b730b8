"""``<class>/*.bmp``: one folder a class; folders inside a class folder belong to that class."""

from millscale.data.formats._assemble import assemble, by_folder, class_folders
from millscale.data.manifest import Manifest
from millscale.data.scan import Scan, narrowed, placed

DESCRIPTION = "one folder a class: <class>/*.bmp"
PRIORITY = 20


def matches(folder: Scan) -> bool:
    """Do most images lie in folders that are neither a split nor just called "images"?"""
    places = [placed(image)[1] for image in _content(folder).images]
    return 2 * sum(bool(folders) for folders in places) > len(places)


def read(folder: Scan) -> Manifest:
    """The folder's manifest; labels are the names of the class folders."""
    content = _content(folder)
    return assemble(folder.root, content, by_folder(content), class_folders(content))


def _content(folder: Scan) -> Scan:
    return narrowed(folder, to_images=False)
