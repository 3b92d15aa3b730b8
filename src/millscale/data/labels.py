"""A labels file: CSV with the columns ``image`` and ``label``, where only a few images of a data set have one."""

import csv
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from unicodedata import normalize

from millscale.core.errors import DataError, unknown_name
from millscale.core.files import whole
from millscale.data.classes import neu_class
from millscale.data.manifest import ImageRecord, Manifest

COLUMNS = ("image", "label")
_NAMED = 3


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file with at least the columns ``image`` and ``label``, separated by commas or semicolons.

    Raises:
        DataError: no such file, not text, or a column is missing.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline().rstrip("\r\n")
            file.seek(0)
            delimiter = ";" if header.count(";") > header.count(",") else ","
            table = list(csv.reader(file, delimiter=delimiter, strict=True))
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected a CSV file in UTF-8, found: {error}. Save it as UTF-8.") from error
    except (OSError, csv.Error) as error:
        raise DataError(f"{path}: expected a CSV file with the columns image,label, found: {error}.") from error
    found = [name.strip().lower() for name in table[0]] if table else []
    if not set(COLUMNS) <= set(found):
        raise DataError(
            f"{path}: expected a first line with the columns image,label, found '{header}'. Write that line above."
        )
    empty = dict.fromkeys(found, "")
    return [empty | {name: _plain(cell) for name, cell in zip(found, row, strict=False)} for row in table[1:] if row]


def _plain(text: str) -> str:
    """Without blanks around it, and accents as one character: tools and file systems write them as one or as two."""
    return normalize("NFC", text.strip())


def read_labels(path: Path | str, images: Manifest, *, whole: bool = True) -> dict[str, str]:
    """The label of each image that a labels file names; a row without a label is not labelled yet.

    Where ``images`` lies in class folders and the file uses their names, it must use no other name, and label each
    class. Otherwise the classes are those of the file.

    Args:
        path: the file. An image is its path below the data folder, or its file name where only one has it.
        images: the data set; its own labels do not matter.
        whole: whether each class must have a label, and two classes one; not so while labels are still being given.

    Returns:
        Image id → class name.

    Raises:
        DataError: not such a file, an image that is missing or meant by no single name, two labels for one image, a
            class that the data set lacks, one class alone, or a class without any label.
    """
    file = Path(path)
    return named_labels(file, [(row["image"], row["label"]) for row in read_rows(file)], images, whole=whole)


def named_labels(
    file: Path, pairs: Iterable[tuple[str, str]], images: Manifest, *, whole: bool = True
) -> dict[str, str]:
    """`read_labels` of (image, label) pairs that were read from ``file``."""
    finder = _Finder(images)
    given: dict[str, str] = {}
    missing = []
    for image, label in pairs:
        if not image or not label:
            continue
        record = finder.find(image, file)
        if record is None:
            missing.append(image)
        elif given.setdefault(record.id, label) != label:
            raise DataError(
                f"{file}: expected one label for each image, found '{given[record.id]}' and '{label}' for "
                f"{record.id}. Remove the wrong row."
            )
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise DataError(
            f"{file}: expected images of {images.source}, found {', '.join(missing[:_NAMED])}{more}, which it lacks. "
            "Give their paths below the data folder, or remove the rows."
        )
    names = _classes(file, given.values(), images, whole=whole)
    return {name: names[given[name]] for name in images.ids if name in given}


def with_labels(images: Manifest, labels: Mapping[str, str]) -> Manifest:
    """The same images, labelled as ``labels`` says (id → class) and no others, without boxes."""
    records = tuple(replace(record, label=labels.get(record.id), boxes=None) for record in images.records)
    return replace(images, records=records, classes=tuple(sorted(set(labels.values()))))


def write_labels(path: Path, labels: Mapping[str, str]) -> None:
    """Write a labels file, all or nothing."""
    write_table(path, COLUMNS, labels.items())


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file, all or nothing."""
    with whole(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


class _Finder:
    """Images by all the names that people write for them."""

    def __init__(self, images: Manifest) -> None:
        self._by_id = {_plain(record.id): record for record in images.records}
        self._by_path = {_plain(os.path.realpath(record.path)): record for record in images.records}
        self._by_name = defaultdict(list)
        for record in images.records:
            self._by_name[_plain(record.path.name)].append(record)

    def find(self, name: str, file: Path) -> ImageRecord | None:
        plain = _plain(name).replace("\\", "/").removeprefix("./")
        exact = self._by_id.get(plain) or self._by_path.get(os.path.realpath(plain))
        if exact is not None or "/" in plain:
            return exact
        same = self._by_name.get(plain, [])
        if len(same) > 1:
            shown = " and ".join(record.id for record in same[:2])
            raise DataError(f"{file}: expected a name that one image has, found '{name}', which may be {shown}.")
        return same[0] if same else None


def _name(name: str, own: Iterable[str]) -> str:
    """The name as the data set spells it: NEU's short ones are known."""
    spelled = {_plain(one): one for one in own}
    return spelled.get(name) or spelled.get(neu_class(name) or "") or name


def _classes(file: Path, used: Iterable[str], images: Manifest, *, whole: bool) -> dict[str, str]:
    """What each class name of the file is called, once it is clear that they fit the data set's."""
    own, found = set(images.classes), sorted(set(used))
    names = {name: _name(name, own) for name in found}
    if not whole:
        return names
    named = set(names.values())
    if own & named:
        for name, canonical in names.items():
            if canonical not in own:
                raise DataError(f"{file}: {unknown_name('class', name, own)} Correct the row.")
        bare = sorted(own - named - {name for name, count in images.class_counts.items() if not count})
        if bare:
            raise DataError(
                f"{file}: expected a label for each class of {images.source}, found none for {', '.join(bare)}, which "
                "no model could then answer. Label one image of it, or move its folder out."
            )
    if len(named) < 2:
        shown = f"'{found[0]}' alone" if found else "none"
        raise DataError(f"{file}: expected labels of at least two classes, found {shown}. Label images of another.")
    return names
