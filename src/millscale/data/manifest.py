"""A data set as one immutable value: ordered records, class names, where it came from."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import DataError
from millscale.core.types import Boxes, Problem


@dataclass(frozen=True, eq=False)
class ImageRecord:
    """One image and what is known of it.

    Attributes:
        id: unique in its manifest; the path below the data folder, with forward slashes.
        path: where the file is.
        label: class name, or None where unlabelled.
        boxes: annotated boxes, half-open pixels of the original image.
        mask: pixel mask file, or None.
        group: what must never be split (coil, tile, parent frame); None where not yet known.
        split: "train", "val" or "test" where the data set came with a named split, else None.
    """

    id: str
    path: Path
    label: str | None = None
    boxes: Boxes | None = None
    mask: Path | None = None
    group: str | None = None
    split: str | None = None

    @cached_property
    def content_hash(self) -> str:
        """sha256 of the file's bytes, hexadecimal."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, eq=False)
class Manifest:
    """Ordered records with their class names; edits return a new one.

    Attributes:
        records: in the order of their ids.
        classes: class names as the data set spells them (NEU's aliases become the six canonical names).
        source: the folder or file that was read.
        problems: what was found wrong while reading; images that cannot be used are not in ``records``.
    """

    records: tuple[ImageRecord, ...]
    classes: tuple[str, ...]
    source: str
    problems: tuple[Problem, ...] = ()

    def __len__(self) -> int:
        return len(self.records)

    @cached_property
    def ids(self) -> tuple[str, ...]:
        return tuple(record.id for record in self.records)

    @property
    def class_counts(self) -> dict[str, int]:
        """Images of each class, every class named, also the empty ones."""
        counts = Counter(record.label for record in self.records)
        return {name: counts.get(name, 0) for name in self.classes}

    @property
    def box_counts(self) -> dict[str, int]:
        """Boxes of each class, every class named, also those without any."""
        counts = Counter(self.classes[i] for r in self.records if r.boxes is not None for i in r.boxes.class_id)
        return {name: counts.get(name, 0) for name in self.classes}

    @cached_property
    def targets(self) -> NDArray[np.int64]:
        """``(N,)`` class indices of the images, -1 for one without label."""
        index = {None: -1} | {name: position for position, name in enumerate(self.classes)}
        return np.array([index[record.label] for record in self.records], np.int64)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over every image's id, label, content and boxes: changes when any of them does."""
        lines = (f"{r.id}\0{r.label}\0{r.content_hash}{_drawn(r.boxes)}\n" for r in self.records)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def with_groups(self, groups: Mapping[str, str]) -> "Manifest":
        """The same records, each with the group that ``groups`` gives for its id."""
        return replace(self, records=tuple(replace(r, group=groups[r.id]) for r in self.records))

    def with_classes(self, classes: Sequence[str]) -> "Manifest":
        """The same records under these class names, to which their boxes are numbered anew.

        Raises:
            DataError: a box of a class that is not among them.
        """
        place = {name: i for i, name in enumerate(classes)}
        used = {self.classes[int(i)] for r in self.records if r.boxes is not None for i in r.boxes.class_id}
        unknown = sorted(used - set(place))
        if unknown:
            raise DataError(
                f"{self.source}: expected boxes of {', '.join(classes)}, found boxes of {', '.join(unknown)}. "
                "Rename these classes in the annotations, or leave their images out."
            )
        number = np.array([place.get(name, -1) for name in self.classes], np.int64)
        records = tuple(
            r if r.boxes is None else replace(r, boxes=replace(r.boxes, class_id=number[r.boxes.class_id]))
            for r in self.records
        )
        return replace(self, records=records, classes=tuple(classes))

    def shown(self, record: ImageRecord) -> set[str]:
        """The classes that an image of this manifest shows, by its label or by a box."""
        drawn = set() if record.boxes is None else {self.classes[i] for i in record.boxes.class_id}
        return drawn if record.label is None else drawn | {record.label}

    def select(self, ids: Iterable[str]) -> "Manifest":
        """The records with these ids, in this manifest's order."""
        wanted = set(ids)
        return replace(self, records=tuple(r for r in self.records if r.id in wanted))


def _drawn(boxes: Boxes | None) -> str:
    """What the fingerprint takes of an image's boxes, nothing where it is not annotated."""
    if boxes is None:
        return ""
    digest = hashlib.sha256(boxes.xyxy.tobytes() + boxes.class_id.tobytes())
    if boxes.difficult is not None:
        digest.update(boxes.difficult.tobytes())
    return f"\0{digest.hexdigest()}"
