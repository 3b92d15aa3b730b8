"""``*.bmp``: images without labels."""

from millscale.data.formats._assemble import Labelled, assemble
from millscale.data.manifest import Manifest
from millscale.data.scan import Scan, narrowed, placed

DESCRIPTION = "images without labels: *.bmp"
PRIORITY = 0


def matches(folder: Scan) -> bool:
    """Do all images lie together?"""
    images = narrowed(folder, to_images=True).images
    return bool(images) and not any(placed(image)[1] for image in images)


def read(folder: Scan) -> Manifest:
    """The folder's manifest, every label None; with any folders inside, as asked for by name."""
    content = narrowed(folder, to_images=True)
    return assemble(folder.root, content, [Labelled(image, None, placed(image)[0]) for image in content.images], ())
