"""``Cr_1.bmp``: all images in one folder (or one a split), the class in front of the number."""

from millscale.data.classes import neu_class, prefix_of
from millscale.data.formats._assemble import Labelled, assemble
from millscale.data.manifest import Manifest
from millscale.data.scan import Scan, narrowed, placed

DESCRIPTION = "all images together, the NEU class in front of the number: Cr_1.bmp, rolled-in_scale_7.jpg"
PRIORITY = 40


def matches(folder: Scan) -> bool:
    """Do all images lie together, and do most names begin with a spelling of a NEU class?"""
    content = _content(folder)
    if any(placed(image)[1] for image in content.images):
        return False
    neu = [neu_class(prefix_of(image.stem) or "") for image in content.images]
    return 2 * sum(name is not None for name in neu) > len(neu)


def read(folder: Scan) -> Manifest:
    """The folder's manifest; NEU spellings are the classes, or every prefix where there is no NEU one."""
    content = _content(folder)
    prefixes = {image: prefix for image in content.images if (prefix := prefix_of(image.stem))}
    neu = {image: prefix for image, prefix in prefixes.items() if neu_class(prefix)}
    labels = neu or prefixes
    images = [Labelled(image, label, placed(image)[0]) for image, label in labels.items()]
    return assemble(folder.root, content, images, sorted(set(labels.values())))


def _content(folder: Scan) -> Scan:
    return narrowed(folder, to_images=True)
