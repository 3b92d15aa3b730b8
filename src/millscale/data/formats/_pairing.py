"""Which annotation file belongs to which image: same stem, same split, same folder as far as both name one."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from millscale.data.scan import IMAGE_FOLDERS, split_name

XML_FOLDERS = frozenset({"annotations", "annotation", "xml", "xmls"})
LABEL_FOLDERS = frozenset({"labels", "label"})
MASK_FOLDERS = frozenset({"masks", "mask", "ground_truth", "groundtruth", "gt"})
_LAYOUT = IMAGE_FOLDERS | XML_FOLDERS | LABEL_FOLDERS | MASK_FOLDERS


def split_of(path: PurePosixPath) -> str | None:
    """The split that a folder above the file names (``images/train``, ``train2017``), wherever it stands."""
    return next((split for folder in path.parts[:-1] if (split := split_name(folder.rstrip("0123456789")))), None)


def lies_in(path: PurePosixPath, names: frozenset[str]) -> bool:
    """Is a folder above the file called one of ``names``?"""
    return any(folder.lower() in names for folder in path.parts[:-1])


def own_folders(path: PurePosixPath) -> tuple[str, ...]:
    """The folders above the file that neither name a split nor belong to the layout: a class, a coil, a set."""
    return tuple(
        folder
        for folder in path.parts[:-1]
        if folder.lower() not in _LAYOUT and not split_name(folder.rstrip("0123456789"))
    )


def class_folders_of(image: PurePosixPath) -> tuple[str, ...]:
    """The folders that may name a class: those below the folder of images, else those above it."""
    parts = [part.lower() for part in image.parts[:-1]]
    last = max((index for index, part in enumerate(parts) if part in IMAGE_FOLDERS), default=-1)
    return own_folders(PurePosixPath(*image.parts[last + 1 :])) or own_folders(image)


def folders_agree(image: PurePosixPath, file: PurePosixPath) -> bool:
    """Can the file speak of the image? Not where both lie in folders of their own, and in different ones."""
    a, b = own_folders(image), own_folders(file)
    shared = min(len(a), len(b))
    return a[:shared] == b[:shared]


def pair(
    images: Sequence[PurePosixPath],
    files: Iterable[PurePosixPath],
    stem: Callable[[PurePosixPath], str] = lambda path: path.stem,
) -> dict[PurePosixPath, PurePosixPath]:
    """Each image's annotation file, for the images that have one.

    First within a split; a file that no image of its own split claims then serves another: the Kaggle copy of
    NEU-DET keeps the XML of ``crazing_240`` in the other split.

    Args:
        stem: what of an annotation file's name must equal the image's stem.
    """
    by_stem: Mapping[str, list[PurePosixPath]] = defaultdict(list)
    for path in files:
        by_stem[stem(path)].append(path)
    found: dict[PurePosixPath, PurePosixPath] = {}
    for image in images:
        near = [path for path in by_stem.get(image.stem, ()) if split_of(path) == split_of(image)]
        _choose(image, near, found)
    claimed = set(found.values())
    for image in images:
        if image not in found:
            _choose(image, [path for path in by_stem.get(image.stem, ()) if path not in claimed], found)
    return found


def _choose(
    image: PurePosixPath, candidates: Sequence[PurePosixPath], found: dict[PurePosixPath, PurePosixPath]
) -> None:
    fitting = [path for path in candidates if folders_agree(image, path)]
    if fitting:
        found[image] = max(fitting, key=lambda path: len(own_folders(path)))
