"""``train|valid|test/<class>/*.bmp``: class folders below a named split, as Kaggle ships NEU-CLS."""

from millscale.data.formats._assemble import assemble, by_folder, class_folders
from millscale.data.manifest import Manifest
from millscale.data.scan import Scan, narrowed, placed

DESCRIPTION = "class folders below a named split: {train,val|valid|validation,test}/<class>/*.bmp"
PRIORITY = 30


def matches(folder: Scan) -> bool:
    """Do most images lie in class folders below a split folder?"""
    places = [placed(image) for image in _content(folder).images]
    return 2 * sum(split is not None and bool(folders) for split, folders in places) > len(places)


def read(folder: Scan) -> Manifest:
    """The folder's manifest; each record keeps its split as "train", "val" or "test"."""
    content = _content(folder)
    images = [image for image in by_folder(content) if image.split]
    classes = {image.label for image in images if image.label} | set(_classes_below_splits(content))
    return assemble(folder.root, content, images, sorted(classes))


def _classes_below_splits(content: Scan) -> list[str]:
    splits = tuple(folder for folder in content.folders if placed(folder / "image")[0])
    images = tuple(image for image in content.images if placed(image)[0])
    return class_folders(Scan(content.root, images, splits, content.others, ()))


def _content(folder: Scan) -> Scan:
    return narrowed(folder, to_images=False)
