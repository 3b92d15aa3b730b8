"""Pascal VOC: one XML an image, beside it or in a folder of annotations, as NEU-DET and VOC2007 ship.

Known are ``IMAGES`` + ``ANNOTATIONS``; ``{train,validation}/{images/<class>,annotations}``, Kaggle's NEU-DET;
``JPEGImages`` + ``Annotations`` with the split in ``ImageSets/Main/{train,val,test}.txt``; and XML beside the images,
Roboflow's. ``classes.txt``, one name a line, may name classes that no box has. What `write` makes is VOC2007's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from millscale.core.types import Problem
from millscale.data.formats._annotated import AnnotatedImages, annotated_content, annotated_manifest
from millscale.data.formats._drawn import (
    Annotation,
    AnnotationError,
    Reading,
    no_annotation,
    no_image,
    read_text,
    unreadable,
)
from millscale.data.formats._export import CLASSES_FILE, exports, read_class_names, write_class_names
from millscale.data.formats._pairing import XML_FOLDERS, lies_in, pair
from millscale.data.formats._voc import VocFile, read_voc, write_voc
from millscale.data.manifest import Manifest
from millscale.data.scan import IMAGE_FOLDERS, Scan

DESCRIPTION = "images/*.jpg beside annotations/*.xml (Pascal VOC, NEU-DET), also below {train,validation}"
PRIORITY = 50

_SPLITS = ("train", "val", "test")


def matches(folder: Scan) -> bool:
    """Is there an XML in a folder of annotations and an image in a folder of images, or an XML beside its image?"""
    content = annotated_content(folder)
    files = _annotations(content)
    beside = any(not lies_in(path, XML_FOLDERS) for path in files)
    return bool(files) and (beside or any(lies_in(image, IMAGE_FOLDERS) for image in content.images))


def read(folder: Scan) -> Manifest:
    """The folder's manifest with boxes."""
    content = annotated_content(folder)
    files = _annotations(content)
    pairs = pair(content.images, files)
    paired = set(pairs.values())
    read_files = [_read(image, content.root / xml) for image, xml in pairs.items()]
    unpaired = [no_annotation(content.root / image, "XML") for image in content.images if image not in pairs]
    orphans = [no_image(content.root / path, "XML") for path in files if path not in paired]
    sets = _image_sets(content)
    classes, damaged = read_class_names(content)
    found = AnnotatedImages(
        content.images,
        {one.image: one.annotation for one in read_files},
        used=frozenset((*files, *sets.files, CLASSES_FILE)),
        classes=classes,
        splits=sets.splits,
        problems=[*damaged, *unpaired, *orphans, *sets.problems, *(p for one in read_files for p in one.problems)],
    )
    return annotated_manifest(folder.root, content, found)


def write(manifest: Manifest, folder: Path) -> None:
    """Write the data set into the empty ``folder``: JPEGImages, Annotations, ImageSets/Main and classes.txt.

    An image that is not annotated gets no XML, one that shows nothing an XML without objects.

    Raises:
        DataError: two images have the same name, or a name cannot stand in such files.
    """
    images, annotations, sets = folder / "JPEGImages", folder / "Annotations", folder / "ImageSets" / "Main"
    listed: dict[str, list[str]] = {}
    annotations.mkdir()
    for export in exports(manifest, by_split=False):
        export.copy_to(images)
        if export.record.split is not None:
            listed.setdefault(export.record.split, []).append(export.stem)
        if export.boxes is not None:
            write_voc(annotations / f"{export.stem}.xml", export.name, export.size, export.boxes)
    for split, stems in listed.items():
        sets.mkdir(parents=True, exist_ok=True)
        (sets / f"{split}.txt").write_text("".join(f"{stem}\n" for stem in stems), encoding="utf-8")
    write_class_names(manifest.classes, folder)


@dataclass(frozen=True)
class _ImageSets:
    """The lists of a split: where they stand, what they say, and what they name that is not there."""

    files: tuple[PurePosixPath, ...]
    splits: dict[PurePosixPath, str]
    problems: tuple[Problem, ...]


def _annotations(content: Scan) -> list[PurePosixPath]:
    """The XML in folders of annotations, and those beside an image of their name."""
    stems = {image.with_suffix("") for image in content.images}
    xml = [path for path in content.others if path.suffix.lower() == ".xml"]
    return [path for path in xml if lies_in(path, XML_FOLDERS) or path.with_suffix("") in stems]


def _read(image: PurePosixPath, path: Path) -> Reading:
    try:
        file = read_voc(path)
    except AnnotationError as error:
        return Reading(image, Annotation(error.place, None), (unreadable(error, str(image)),))
    return Reading(image, Annotation(str(path), file.boxes, file.size), tuple(_name_problems(image, file)))


def _name_problems(image: PurePosixPath, file: VocFile) -> Iterator[Problem]:
    """The image is found by the XML's own name; what stands in ``<filename>`` may be something else."""
    if not file.filename or file.filename == image.name:
        return
    name = PurePosixPath(file.filename.replace("\\", "/")).name
    if name == image.stem:
        message = f"<filename> names '{file.filename}' without the ending of {image.name}"
        yield Problem("filename_suffix", file.filename_place, message, "None needed.", image=str(image))
    elif name != image.name:
        message = f"<filename> names '{file.filename}', but the XML stands for {image.name}"
        fix = "Check whose boxes these are, then correct <filename>."
        yield Problem("filename_other", file.filename_place, message, fix, image=str(image))


def _image_sets(content: Scan) -> _ImageSets:
    files = tuple(path for path in content.others if lies_in(path, frozenset({"imagesets"})) and path.suffix == ".txt")
    wanted = [path for split in _SPLITS for path in files if path.stem == split]
    by_stem: dict[str, list[PurePosixPath]] = {}
    for image in content.images:
        by_stem.setdefault(image.stem, []).append(image)
    splits: dict[PurePosixPath, str] = {}
    problems: list[Problem] = []
    for path in wanted:
        _take_list(content.root / path, by_stem, splits, problems)
    return _ImageSets(files, splits, tuple(problems))


def _take_list(
    path: Path, by_stem: dict[str, list[PurePosixPath]], splits: dict[PurePosixPath, str], problems: list[Problem]
) -> None:
    for number, name in enumerate(_lines(path, problems), 1):
        images: Sequence[PurePosixPath] = by_stem.get(PurePosixPath(name).name, ())
        for image in images:
            splits.setdefault(image, path.stem)
        if name and not images:
            fix = "Add the image, or remove the line."
            problems.append(Problem("no_image", f"{path}:{number}", f"no image of the name '{name}'", fix))


def _lines(path: Path, problems: list[Problem]) -> list[str]:
    try:
        return [line.strip() for line in read_text(path, "a list of image names").splitlines()]
    except AnnotationError as error:
        problems.append(unreadable(error, None))
        return []
