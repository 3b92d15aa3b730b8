"""What every writer of annotations shares: images under unique names, their boxes as files spell them."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from unicodedata import category

from millscale.core.errors import DataError
from millscale.core.types import Problem
from millscale.data.formats._drawn import AnnotationError, DrawnBox, read_text, unreadable
from millscale.data.manifest import ImageRecord, Manifest
from millscale.data.scan import Scan
from millscale.data.sound import require_boxes
from millscale.imaging.decode import read_size

CLASSES_FILE = PurePosixPath("classes.txt")


@dataclass(frozen=True)
class Export:
    """One image on its way out.

    Attributes:
        record: the image.
        size: (width, height) of its upright picture.
        boxes: its annotated boxes, None where it is not annotated.
    """

    record: ImageRecord
    size: tuple[int, int]
    boxes: tuple[DrawnBox, ...] | None

    @property
    def name(self) -> str:
        return self.record.path.name

    @property
    def stem(self) -> str:
        return self.record.path.stem

    def copy_to(self, folder: Path) -> None:
        """Copy the image file into ``folder``, which is made."""
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.record.path, folder / self.name)


def exports(manifest: Manifest, *, by_split: bool) -> Iterator[Export]:
    """The data set's images one by one.

    Args:
        by_split: does each split get a folder of its own, so that names may repeat across splits?

    Raises:
        DataError: no image is annotated, two images would share a name, or a name is not plain text.
    """
    require_boxes(manifest, " Or convert it to class_folders.")
    _require_plain(manifest.classes, "class")
    _require_plain([record.path.name for record in manifest.records], "file name")
    _require_unique(manifest, by_split=by_split)
    for record in manifest.records:
        yield Export(record, read_size(record.path), _drawn(record, manifest.classes))


def write_class_names(classes: Sequence[str], folder: Path) -> None:
    """Write ``classes.txt``, one name a line."""
    (folder / CLASSES_FILE).write_text("".join(f"{name}\n" for name in classes), encoding="utf-8")


def read_class_names(content: Scan) -> tuple[list[str], list[Problem]]:
    """The names in ``classes.txt`` at the top of the folder, none without that file; and what is wrong with it."""
    if CLASSES_FILE not in content.others:
        return [], []
    try:
        lines = read_text(content.root / CLASSES_FILE, "class names").splitlines()
    except AnnotationError as error:
        return [], [unreadable(error, None)]
    return [name for line in lines if (name := line.strip())], []


def _require_plain(names: Sequence[str], kind: str) -> None:
    for name in names:
        if not name or name != name.strip() or not all(c.isprintable() or category(c) == "Zs" for c in name):
            raise DataError(
                f"Expected a {kind} of printable characters with none blank at its ends, found {name!r}. Rename it."
            )


def _require_unique(manifest: Manifest, *, by_split: bool) -> None:
    seen: dict[tuple[str | None, str], str] = {}
    for record in manifest.records:
        key = record.split if by_split else None, record.path.stem.casefold()
        if key in seen:
            raise DataError(
                f"{record.id}: expected names that differ before their ending, found {seen[key]} too. Rename one."
            )
        seen[key] = record.id


def _drawn(record: ImageRecord, classes: Sequence[str]) -> tuple[DrawnBox, ...] | None:
    boxes = record.boxes
    if boxes is None:
        return None
    difficult = [False] * len(boxes) if boxes.difficult is None else boxes.difficult.tolist()
    return tuple(
        DrawnBox(classes[name], tuple(xyxy), hard, record.id)
        for name, xyxy, hard in zip(boxes.class_id.tolist(), boxes.xyxy.tolist(), difficult, strict=True)
    )
