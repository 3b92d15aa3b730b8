"""``*.bmp``: images without labels."""

from pathlib import Path

from millscale.data.formats._assemble import Labelled, assemble
from millscale.data.formats._scan import narrowed, placed, scan
from millscale.data.manifest import Manifest

DESCRIPTION = "images without labels: *.bmp"
PRIORITY = 0


def matches(root: Path) -> bool:
    """Do all images lie together?"""
    images = narrowed(scan(root), to_images=True).images
    return bool(images) and not any(placed(image)[1] for image in images)


def read(root: Path) -> Manifest:
    """The folder's manifest, every label None; with any folders inside, as asked for by name.

    Raises:
        DataError: ``root`` is not a folder.
    """
    content = narrowed(scan(root), to_images=True)
    return assemble(root, content, [Labelled(image, None, placed(image)[0]) for image in content.images], ())
