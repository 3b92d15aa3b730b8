"""COCO JSON: ``annotations/instances_train.json`` + ``train/*.jpg``, or Roboflow's ``train/_annotations.coco.json``.

An image belongs to an entry whose ``file_name`` its path ends with, the nearer to the JSON the better. Images in the
folders that no JSON lists are not annotated. What `write` makes is the layout of COCO 2017.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from millscale.core.types import Problem
from millscale.data.formats._annotated import AnnotatedImages, annotated_content, annotated_manifest
from millscale.data.formats._coco import CocoFile, read_coco, write_coco
from millscale.data.formats._drawn import Annotation, AnnotationError, no_annotation, unreadable
from millscale.data.formats._export import Export, exports
from millscale.data.formats._pairing import XML_FOLDERS, folders_agree, lies_in, split_of
from millscale.data.manifest import Manifest
from millscale.data.scan import Scan, split_name

DESCRIPTION = "COCO JSON: annotations/instances_{train,val}.json + {train,val}/*.jpg, or train/_annotations.coco.json"
PRIORITY = 70

_BEGINNING = 2**16
_OTHER_TASKS = ("captions", "person_keypoints", "panoptic", "stuff", "image_info")


def matches(folder: Scan) -> bool:
    """Is there, with images, a JSON that is called as COCO's are, or lies in a folder of annotations?"""
    content = _content(folder)
    return bool(content.images) and bool(_files(content))


def read(folder: Scan) -> Manifest:
    """The folder's manifest with boxes; the split is the JSON's, by its folder or its name."""
    content = _content(folder)
    taken = _Taken(content)
    files = _files(content)
    for path in files:
        taken.take(path)
    missing = [no_annotation(content.root / i, "JSON entry") for i in content.images if i not in taken.annotations]
    found = AnnotatedImages(
        content.images,
        taken.annotations,
        used=frozenset(files),
        classes=tuple(dict.fromkeys(taken.classes)),
        splits=taken.splits,
        problems=[*taken.problems, *missing],
    )
    return annotated_manifest(folder.root, content, found)


def write(manifest: Manifest, folder: Path) -> None:
    """Write the data set into the empty ``folder``: one JSON a split and its images in a folder of the split's name.

    Images of no split lie in ``images``, with ``annotations/instances.json``. Those that are not annotated are
    copied, but not listed.

    Raises:
        DataError: two images of a split have the same name, or a name cannot stand in such files.
    """
    by_split: dict[str | None, list[Export]] = {}
    for export in exports(manifest, by_split=True):
        export.copy_to(folder / (export.record.split or "images"))
        by_split.setdefault(export.record.split, []).append(export)
    (folder / "annotations").mkdir()
    for split, some in by_split.items():
        listed = [(one.name, one.size, one.boxes) for one in some if one.boxes is not None]
        name = f"instances_{split}.json" if split else "instances.json"
        write_coco(folder / "annotations" / name, listed, manifest.classes)


def _content(folder: Scan) -> Scan:
    return annotated_content(folder, needed=frozenset({".json"}))


def _files(content: Scan) -> list[PurePosixPath]:
    """The JSON that hold boxes; of COCO's own, only the instances."""
    files = [path for path in content.others if path.suffix.lower() == ".json"]
    boxes = [path for path in files if not path.name.lower().startswith(_OTHER_TASKS)]
    return [path for path in boxes if _is_named_so(path) or (_may_be(path) and _begins_so(content.root / path))]


def _is_named_so(path: PurePosixPath) -> bool:
    stem = path.stem.lower()
    return "coco" in stem or stem.startswith(("instances", "annotations"))


def _may_be(path: PurePosixPath) -> bool:
    """Is the file called by a split alone (``train.json``), or does it lie in a folder of annotations?"""
    return _split_in(path) is not None or lies_in(path, XML_FOLDERS)


def _begins_so(path: Path) -> bool:
    """Does the file, whose name does not say so, begin as COCO's do?"""
    try:
        with path.open("rb") as file:
            beginning = file.read(_BEGINNING)
    except OSError:
        return False
    return b'"images"' in beginning or b'"annotations"' in beginning


def _split_in(path: PurePosixPath) -> str | None:
    """The split of a JSON: its folder's, or the one in its name (``instances_train2017``)."""
    words = re.split(r"[^a-z]+", path.stem.lower())
    return split_of(path) or next((split for word in words if (split := split_name(word))), None)


@dataclass
class _Taken:
    """What the files read so far have given to the images of one folder."""

    content: Scan
    annotations: dict[PurePosixPath, Annotation] = field(default_factory=dict)
    splits: dict[PurePosixPath, str] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def take(self, path: PurePosixPath) -> None:
        """Read one JSON and give its entries to their images."""
        try:
            file = read_coco(self.content.root / path)
        except AnnotationError as error:
            self.problems.append(unreadable(error, None))
            return
        self.classes += file.classes
        images = self._images_of(path, file)
        self.problems += [replace(p, image=images.get(p.image)) if p.image else p for p in file.problems]
        for name, annotation in file.images.items():
            self._give(images.get(name), annotation, name, _split_in(path))

    def _give(self, image: str | None, annotation: Annotation, name: str, split: str | None) -> None:
        if image is None:
            message = f"no image '{name}' below {self.content.root}"
            fix = "Add the image, or remove the entry."
            self.problems.append(Problem("no_image", annotation.place, message, fix, blocking=True))
            return
        path = PurePosixPath(image)
        if path in self.annotations:
            message = f"the image is annotated in {self.annotations[path].place} already: that one is used"
            self.problems.append(Problem("annotated_twice", annotation.place, message, "Remove one.", image=image))
            return
        self.annotations[path] = annotation
        if split is not None:
            self.splits[path] = split

    def _images_of(self, path: PurePosixPath, file: CocoFile) -> Mapping[str, str]:
        """File name as spelled → id of the image, where there is one."""
        by_name: dict[str, list[PurePosixPath]] = {}
        for image in self.content.images:
            by_name.setdefault(image.name, []).append(image)
        found = ((name, _nearest(name, path, by_name)) for name in file.images)
        return {name: str(image) for name, image in found if image is not None}


def _nearest(
    name: str, json_path: PurePosixPath, by_name: Mapping[str, Sequence[PurePosixPath]]
) -> PurePosixPath | None:
    """The image that an entry names, seen from its JSON; None where there is none, or two answer equally well."""
    wanted = PurePosixPath(name.replace("\\", "/"))
    split = _split_in(json_path)
    ranked = sorted(
        ((image == json_path.parent / wanted, _common_end(image, wanted), split_of(image) == split), image)
        for image in by_name.get(wanted.name, ())
        if split in (None, split_of(image)) or split_of(image) is None
        if folders_agree(image, json_path)
    )
    if not ranked or (len(ranked) > 1 and ranked[-1][0] == ranked[-2][0]):
        return None
    return ranked[-1][1]


def _common_end(a: PurePosixPath, b: PurePosixPath) -> int:
    """How many of the last parts of two paths are the same."""
    count = 0
    for x, y in zip(reversed(a.parts), reversed(b.parts), strict=False):
        if x != y:
            break
        count += 1
    return count
