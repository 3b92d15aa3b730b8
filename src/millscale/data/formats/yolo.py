"""YOLO text: ``{train,val,test}/{images,labels}`` or ``{images,labels}/{train,val,test}``, with ``data.yaml``.

An image without label file is not annotated; one with an empty file shows nothing. The format has no place for
``difficult``: `write` lists such objects as ``file:line`` in ``difficult.txt``, which other programs pass over.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import yaml

from millscale.core.errors import DataError
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
from millscale.data.formats._export import CLASSES_FILE, Export, exports, read_class_names
from millscale.data.formats._pairing import LABEL_FOLDERS, lies_in, pair
from millscale.data.formats._yolo import read_labels, write_labels
from millscale.data.manifest import Manifest
from millscale.data.scan import Scan
from millscale.imaging.decode import read_size

DESCRIPTION = "YOLO text: {train,val,test}/{images,labels} or {images,labels}/{train,val,test}, with data.yaml"
PRIORITY = 60

DIFFICULT_FILE = PurePosixPath("difficult.txt")
_NO_LABELS = frozenset({"classes.txt", "labels.txt", "notes.txt"})
_EXPECTED_YAML = "YAML with 'names', a list or numbers with names"


def matches(folder: Scan) -> bool:
    """Is there an image's text file in a folder of labels, or beside it where the class names are given too?"""
    content = _content(folder)
    names = bool(_yaml_files(content)) or CLASSES_FILE in content.others
    files = [path for path in _label_files(content) if names or lies_in(path, LABEL_FOLDERS)]
    return bool(pair(content.images, files))


def read(folder: Scan) -> Manifest:
    """The folder's manifest with boxes; without class names anywhere the classes are called by their numbers."""
    content = _content(folder)
    files = _label_files(content)
    pairs = pair(content.images, files)
    paired = set(pairs.values())
    names = _names(content)
    difficult, damaged = _difficult(content)
    labels = [_read(image, path, content, names, difficult) for image, path in pairs.items()]
    unpaired = [no_annotation(content.root / i, "label file") for i in content.images if i not in pairs]
    orphans = [no_image(content.root / path, "label file") for path in files if path not in paired]
    found = AnnotatedImages(
        content.images,
        {one.image: one.annotation for one in labels},
        used=frozenset((*files, *names.files, DIFFICULT_FILE)),
        classes=tuple((names.by_number or {}).values()),
        problems=[*names.problems, *damaged, *unpaired, *orphans, *(p for one in labels for p in one.problems)],
    )
    return annotated_manifest(folder.root, content, found)


def write(manifest: Manifest, folder: Path) -> None:
    """Write the data set into the empty ``folder``: ``images/SPLIT``, ``labels/SPLIT``, data.yaml, difficult.txt.

    Images of no split lie in ``images`` itself. One that is not annotated gets no label file.

    Raises:
        DataError: two images of a split have the same name, or a name cannot stand in such files.
    """
    difficult: list[str] = []
    splits: dict[str, None] = {}
    for export in exports(manifest, by_split=True):
        splits.setdefault(export.record.split or "")
        place = PurePosixPath(export.record.split or "")
        export.copy_to(folder / "images" / place)
        if export.boxes is not None:
            path = PurePosixPath("labels") / place / f"{export.stem}.txt"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            write_labels(folder / path, export.size, export.boxes, manifest.classes)
            difficult += _difficult_lines(path, export)
    if difficult:
        (folder / DIFFICULT_FILE).write_text("".join(f"{line}\n" for line in difficult), encoding="utf-8")
    document = {**_folders(splits), "names": dict(enumerate(manifest.classes))}
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    (folder / "data.yaml").write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class _Names:
    """Class names by number, None where none are declared; where they stand; and what is wrong with them."""

    by_number: Mapping[int, str] | None
    files: tuple[PurePosixPath, ...] = ()
    problems: tuple[Problem, ...] = ()


def _content(folder: Scan) -> Scan:
    return annotated_content(folder, needed=frozenset({".yaml", ".yml", ".txt"}))


def _yaml_files(content: Scan) -> list[PurePosixPath]:
    """Nearest to the top first, ``data.yaml`` before others."""
    files = [path for path in content.others if path.suffix.lower() in (".yaml", ".yml")]
    return sorted(files, key=lambda path: (len(path.parts), path.stem != "data", path))


def _label_files(content: Scan) -> list[PurePosixPath]:
    """The text files in folders of labels, and those beside an image of their name."""
    stems = {image.with_suffix("") for image in content.images}
    about = _NO_LABELS - {f"{path.name}.txt" for path in stems}  # an image may be called notes.jpg
    texts = [path for path in content.others if path.suffix.lower() == ".txt" and path.name not in about]
    return [path for path in texts if lies_in(path, LABEL_FOLDERS) or path.with_suffix("") in stems]


def _names(content: Scan) -> _Names:
    problems = []
    for path in _yaml_files(content):
        try:
            names = _yaml_names(content.root / path)
        except AnnotationError as error:
            problems.append(unreadable(error, None))
            continue
        if names is not None:
            return _Names(names, (path,), tuple(problems))
    listed, damaged = read_class_names(content)
    problems += damaged
    if listed:
        return _Names(dict(enumerate(listed)), (CLASSES_FILE,), tuple(problems))
    message, fix = "no class names: the classes are called by their numbers", "Add data.yaml with 'names: [...]'."
    return _Names(None, (), (*problems, Problem("no_class_names", str(content.root), message, fix)))


def _yaml_names(path: Path) -> dict[int, str] | None:
    """Class names by number; None in a file that is about something else."""
    text = read_text(path, _EXPECTED_YAML)
    try:
        # Every scalar stays text: a class may be called "no", "on" or "1e3". This loader builds nothing but text.
        document = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise AnnotationError(place, _EXPECTED_YAML, " ".join(str(error).split())) from error
    names = document.get("names") if isinstance(document, dict) else None
    if names is None:
        return None
    try:
        return {int(str(number)): _text(name) for number, name in _numbered(names)}
    except ValueError as error:
        raise AnnotationError(str(path), _EXPECTED_YAML, error) from error


def _text(name: object) -> str:
    if not isinstance(name, str) or not name.strip():
        raise ValueError("a class whose name is no text")
    return name.strip()


def _numbered(names: object) -> Iterable[tuple[object, object]]:
    if isinstance(names, dict):
        return names.items()
    if isinstance(names, list):
        return enumerate(names)
    raise ValueError(f"names: {names!r}")


def _difficult(content: Scan) -> tuple[dict[str, set[int]], list[Problem]]:
    """Lines of difficult objects by label file, and what is wrong with the list of them."""
    found: dict[str, set[int]] = {}
    path = content.root / DIFFICULT_FILE
    try:
        lines = read_text(path, "a list of file:line").splitlines() if DIFFICULT_FILE in content.others else []
        for number, line in enumerate(lines, 1):
            file, _, row = line.rpartition(":")
            if not row.isdecimal():
                raise AnnotationError(f"{path}:{number}", "file:line", repr(line))
            found.setdefault(file, set()).add(int(row))
    except AnnotationError as error:
        return found, [unreadable(error, None)]
    return found, []


def _difficult_lines(path: PurePosixPath, export: Export) -> list[str]:
    return [f"{path}:{number}" for number, box in enumerate(export.boxes or (), 1) if box.difficult]


def _read(
    image: PurePosixPath, path: PurePosixPath, content: Scan, names: _Names, difficult: Mapping[str, set[int]]
) -> Reading:
    place = str(content.root / path)
    try:
        size = read_size(content.root / image)
    except DataError:  # an image that cannot be opened is reported as such
        return Reading(image, Annotation(place, None))
    try:
        marked = frozenset(difficult.get(str(path), ()))
        boxes, problems = read_labels(content.root / path, size, names.by_number, marked)
    except AnnotationError as error:
        return Reading(image, Annotation(error.place, None), (unreadable(error, str(image)),))
    return Reading(image, Annotation(place, boxes), tuple(replace(p, image=str(image)) for p in problems))


def _folders(splits: Mapping[str, None]) -> dict[str, str]:
    """Where each split's images lie; those of no split are for training, where no others are."""
    named = {split: str(PurePosixPath("images") / split) for split in splits if split}
    return named if "train" in named or "" not in splits else {"train": "images", **named}
