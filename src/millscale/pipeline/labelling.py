"""Ask for the labels that teach most: a list to fill, and a page to click through."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import DataError, UsageError
from millscale.data.labels import named_labels, read_labels, read_rows, write_table
from millscale.data.manifest import ImageRecord, Manifest
from millscale.features.backbone import DEFAULT_BACKBONE, open_backbones
from millscale.features.extract import extract
from millscale.features.graph import VIEWS
from millscale.features.working_size import fitting
from millscale.learn.few_labels import Surroundings
from millscale.learn.recipe import Progress
from millscale.learn.selection import margin_doubt, next_to_label
from millscale.pipeline.audited import audited
from millscale.pipeline.summary import silent
from millscale.report.label_pages import Asked, write_question_page

COLUMNS = ("image", "label", "suggestion", "confidence", "reason")
_TORN = 0.5
"""A doubt from which the two classes in question are named."""


@dataclass(frozen=True)
class Questions:
    """What to ask next.

    Attributes:
        asked: the images, the most useful first.
        classes: the class names there are so far.
        labelled: images that have a label.
        left: independent groups without a label, those asked about included.
    """

    asked: tuple[Asked, ...]
    classes: tuple[str, ...]
    labelled: int
    left: int


def given_labels(
    images: Manifest, path: Path | None, say: Callable[[str], None], *, whole: bool = False
) -> dict[str, str]:
    """The labels there are: those of a labels file, or else those that the folders give beside ``unlabelled/``.

    Args:
        images: the data set.
        path: the labels file; None takes the folders', unless they label every image.
        say: told where that is so.
        whole: whether the file must label each class, as `read_labels` has it.
    """
    if path is not None:
        return read_labels(path, images, whole=whole)
    given = {record.id: record.label for record in images.records if record.label is not None}
    if len(given) < len(images):
        return given
    say(f"{images.source} labels all its images; asked as if it labelled none. Name with --labels what is labelled.")
    return {}


def questions(
    images: Manifest,
    labels: Mapping[str, str],
    count: int,
    *,
    backbone: str = DEFAULT_BACKBONE,
    progress: Progress = silent,
) -> Questions:
    """Choose up to ``count`` images, no two of which share pixels with one another or with a labelled one.

    Args:
        images: the data set; its own labels do not matter.
        labels: image id → class, of those that have a label.
        count: how many; fewer come where fewer groups are left.
        backbone: names or paths, joined by ``+``.
        progress: called with (what, done, total).

    Raises:
        DataError: nothing is left to ask.
    """
    audit = audited(images, progress)
    readable = images.select(set(images.ids) - set(audit.unreadable))
    features = extract(readable, open_backbones(backbone), fitting(readable), progress=progress)
    records = features.manifest.records
    _, groups = np.unique([audit.groups[record.id] for record in records], return_inverse=True)
    labelled = np.array([record.id in labels for record in records])
    left = len(np.setdiff1d(groups, groups[labelled]))
    if not left:
        raise DataError(
            f"{images.source}: expected images that share no pixels with a labelled one, found none among "
            f"{len(records)}, of which {int(labelled.sum())} are labelled. There is nothing left to ask: train."
        )
    vectors = features.rows(range(len(records)), views=VIEWS)
    classes = tuple(sorted({labels[record.id] for record in records if record.id in labels}))
    probs = _probs(vectors, [labels.get(record.id) for record in records], classes)
    doubt = np.ones(len(records)) if probs is None else margin_doubt(probs)
    chosen = next_to_label(vectors, groups, labelled, doubt, count)
    asked = [
        _asked(records[row], None if probs is None else probs[row], classes, stands_for)
        for row, stands_for in zip(chosen.rows.tolist(), chosen.stands_for.tolist(), strict=True)
    ]
    return Questions(tuple(asked), classes, int(labelled.sum()), left)


def _probs(
    vectors: NDArray[np.float32], labels: list[str | None], classes: tuple[str, ...]
) -> NDArray[np.float64] | None:
    """``(n, C)``; None as long as there are no two classes to tell apart."""
    if len(classes) < 2:
        return None
    place = {name: position for position, name in enumerate(classes)}
    targets = np.array([-1 if label is None else place[label] for label in labels], np.int64)
    return Surroundings(vectors[:, None]).learn(targets, len(classes)).probs


def _asked(record: ImageRecord, probs: NDArray[np.float64] | None, classes: tuple[str, ...], stands_for: int) -> Asked:
    reason = f"stands for about {stands_for} image{'s' if stands_for != 1 else ''}"
    if probs is None:
        return Asked(record.id, record.path, "", None, f"typical: {reason}")
    first, second = np.argsort(-probs, kind="stable")[:2]
    if 1.0 - (probs[first] - probs[second]) > _TORN:
        reason = f"{classes[first]} or {classes[second]}? {reason}"
    return Asked(record.id, record.path, classes[first], float(probs[first]), reason)


def write_questions(found: Questions, path: Path, labels: Mapping[str, str], images: Manifest) -> Path:
    """Write the list to fill to ``path``, and beside it the page to click through.

    Args:
        found: what to ask.
        path: the CSV file; one that holds answers that are not in ``labels`` is left as it is.
        labels: image id → class, what is already known.
        images: the data set.

    Returns:
        The page.

    Raises:
        UsageError: the file holds such answers.
    """
    require_applied(path, labels, images)
    rows = [
        (one.image, "", one.suggestion, "" if one.confidence is None else f"{one.confidence:.3f}", one.reason)
        for one in found.asked
    ]
    write_table(path, COLUMNS, rows)
    page = path.with_suffix(".html")
    write_question_page(page, found.asked, found.classes, path.name)
    return page


def require_applied(path: Path, labels: Mapping[str, str], images: Manifest) -> None:
    """Refuse to overwrite a list whose answers are not in ``labels``, by whatever names it calls images and classes.

    Raises:
        UsageError: it holds such answers, or is no list.
    """
    if not path.is_file():
        return
    try:
        rows = read_rows(path)
    except DataError as error:
        raise UsageError(f"{path}: expected a list to fill or no file, found another. Name one with --out.") from error
    answers = named_labels(path, [(row["image"], row["label"]) for row in rows], images, whole=False)
    unapplied = sum(labels.get(image) != label for image, label in answers.items())
    if unapplied:
        raise UsageError(
            f"{path}: expected no answers that are not yet applied, found {unapplied}. "
            "Run `millscale label apply` on it first, or name another file with --out."
        )
