"""Take over what a person filled into a list, without losing a label."""

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from millscale.core.errors import DataError, UsageError
from millscale.data.labels import COLUMNS, named_labels, read_rows
from millscale.data.manifest import Manifest
from millscale.pipeline.folders import copy_into_folders, require_empty

_NAMED = 3


@dataclass(frozen=True)
class Answers:
    """What a filled list says.

    Attributes:
        labels: image → class.
        was: image → class before, where the list says so: one of `label check` does.
    """

    labels: dict[str, str]
    was: dict[str, str]


@dataclass(frozen=True)
class Applied:
    """What applying did.

    Attributes:
        labels: image → class, all there are now.
        added: images that had no label.
        changed: images whose label was replaced.
    """

    labels: dict[str, str]
    added: tuple[str, ...]
    changed: tuple[str, ...]


def read_answers(path: Path, images: Manifest | None, *, suggestions: bool = False) -> Answers:
    """Read a filled list.

    Args:
        path: the CSV file of `label next` or `label check`, or any labels file.
        images: the data set, by which the names are checked; None takes them as they stand.
        suggestions: take a row's suggestion where its label is empty; of a list of `label check`, each row's.

    Raises:
        UsageError: a list of `label check` without ``suggestions``: its column ``label`` is what was doubted.
        DataError: not such a file, an image that is missing, or two labels for one image.
    """
    rows = read_rows(path)
    doubted = bool(rows) and {"score", "suggestion"} <= set(rows[0])
    if doubted and not suggestions:
        raise UsageError(
            f"{path}: expected --suggestions with a list of `label check`, found none. Strike out the rows whose label "
            "is right, then pass it."
        )
    taken = []
    for row in rows:
        wanted = suggestions and (doubted or not row["label"])
        taken.append((row["image"], (row.get("suggestion") or row["label"]) if wanted else row["label"]))
    was = [(row["image"], row["label"]) for row in rows] if doubted else []
    return Answers(_named(path, taken, images), _named(path, was, images))


def read_known(path: Path, images: Manifest | None, answers: Answers) -> dict[str, str]:
    """The labels in a labels file, image → class.

    Where the file is not there yet, corrections of a data set start from the labels that it has.

    Raises:
        DataError: it is there and no labels file, has further columns, or names a missing image.
    """
    if path.exists():
        rows = read_rows(path)
        others = [name for name in (rows[0] if rows else ()) if name not in COLUMNS]
        if others:
            raise DataError(
                f"{path}: expected the columns image,label, found also {', '.join(others)}, which would be lost. "
                "Name another file with --labels, or make it of these two columns."
            )
        return _named(path, [(row["image"], row["label"]) for row in rows], images)
    own = images.records if images is not None and answers.was else ()
    return {record.id: record.label for record in own if record.label is not None}


def _named(path: Path, pairs: Iterable[tuple[str, str]], images: Manifest | None) -> dict[str, str]:
    """Image → class, the images by their ids where the data set is known."""
    if images is not None:
        return named_labels(path, pairs, images, whole=False)
    found: dict[str, str] = {}
    for image, label in pairs:
        if image and label and found.setdefault(image, label) != label:
            raise DataError(
                f"{path}: expected one label for each image, found '{found[image]}' and '{label}' for {image}. "
                "Remove the wrong row."
            )
    return found


def apply(
    answers: Answers,
    known: Mapping[str, str],
    classes: Iterable[str] = (),
    *,
    new_class: bool = False,
    replace: bool = False,
) -> Applied:
    """Add answers to the labels there are.

    Args:
        answers: what was filled in.
        known: image → class.
        classes: further names that are right, such as the data set's.
        new_class: believe a name that is nearly that of another class.
        replace: let an answer replace another label.

    Raises:
        UsageError: a name that looks like a slip of the pen.
        DataError: an answer contradicts a label, or its class cannot name a folder; nothing is changed then.
    """
    for name in answers.labels.values():
        if name != Path(name).name or "\\" in name or name.startswith("."):
            raise DataError(f"Expected a class name that can name a folder, found '{name}'. Write another.")
    if not new_class:
        _refuse_slips(answers.labels, {*classes, *known.values(), *answers.was.values()})
    changed = [image for image, label in answers.labels.items() if known.get(image, label) != label]
    against = [image for image in changed if known[image] != answers.was.get(image)]
    if against and not replace:
        shown = ", ".join(f"{i} ('{known[i]}', now '{answers.labels[i]}')" for i in against[:_NAMED])
        more = f" and {len(against) - _NAMED} more" if len(against) > _NAMED else ""
        raise DataError(
            f"Expected answers that agree with the labels there are, found others for {shown}{more}. Nothing was "
            "changed. Correct the rows, or pass --replace."
        )
    added = tuple(image for image in answers.labels if image not in known)
    return Applied({**known, **answers.labels}, added, tuple(changed))


def _refuse_slips(labels: Mapping[str, str], right: set[str]) -> None:
    """Each new name must be unlike those that are right, and unlike the new names that were given more often."""
    for name, count in Counter(labels.values()).most_common():
        if name in right:
            continue
        near = next((other for other in sorted(right) if _is_slip(name, other)), None)
        if near is not None:
            raise UsageError(
                f"Expected a known class or a new one, found '{name}' ({count} of {len(labels)} answers), which is "
                f"nearly '{near}'. Correct the rows, or pass --new-class if it is another class."
            )
        right.add(name)


def _is_slip(name: str, other: str) -> bool:
    """Are the two names the same but for case, separators, or a letter or two? Numbers may differ: kind_1, kind_2."""
    one, two = (text.casefold().replace("-", "_").replace(" ", "_") for text in (name, other))
    if "".join(filter(str.isdigit, one)) != "".join(filter(str.isdigit, two)):
        return False
    codes = difflib.SequenceMatcher(None, one, two, autojunk=False).get_opcodes()
    edits = sum(max(i2 - i1, j2 - j1) for kind, i1, i2, j1, j2 in codes if kind != "equal")
    return edits <= min(2, min(len(one), len(two)) // 3)


def copy_labelled(labels: Mapping[str, str], images: Manifest, out: Path) -> int:
    """Copy each labelled image into the folder of its class, and return how many were copied.

    Raises:
        UsageError: ``out`` holds something.
        DataError: a label that cannot be a folder's name.
    """
    require_empty(out, "--folders")
    kinds: dict[str, list[Path]] = {}
    for record in images.records:
        if record.id in labels:
            kinds.setdefault(labels[record.id], []).append(record.path)
    copy_into_folders(out, kinds)
    return sum(map(len, kinds.values()))
