"""Suggest a label for every image that has none, from those of a few."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from millscale.core.errors import DataError
from millscale.data.labels import with_labels, write_table
from millscale.data.manifest import Manifest
from millscale.data.split import split
from millscale.features.backbone import DEFAULT_BACKBONE, open_backbones
from millscale.features.extract import extract
from millscale.features.graph import VIEWS
from millscale.features.working_size import fitting
from millscale.learn.few_labels import Surroundings
from millscale.learn.recipe import Progress
from millscale.learn.suggestions import suggestions
from millscale.pipeline.audited import audited
from millscale.pipeline.summary import silent

_FOLDS = 5


@dataclass(frozen=True)
class Suggested:
    """Suggested labels.

    Attributes:
        labels: of each unlabelled image by its id: class name and confidence in [0, 1], the surest first.
        judged: labels that were hidden to see how good the suggestions are.
        wrong: how many of them were suggested otherwise.
    """

    labels: Mapping[str, tuple[str, float]]
    judged: int
    wrong: int

    def save(self, path: Path) -> None:
        """Write a list that `label apply` takes: the column ``label`` is left for a person to fill."""
        rows = ((name, "", label, f"{sure:.4f}") for name, (label, sure) in self.labels.items())
        write_table(path, ("image", "label", "suggestion", "confidence"), rows)


def suggest(
    images: Manifest,
    labels: Mapping[str, str],
    *,
    backbone: str = DEFAULT_BACKBONE,
    seed: int = 0,
    progress: Progress = silent,
) -> Suggested:
    """Spread these labels over the other images of the data set.

    Args:
        images: the data set; its own labels do not matter.
        labels: image id → class, of two classes at least.
        backbone: names or paths, joined by ``+``.
        seed: of the folds in which labels are hidden.
        progress: called with (what, done, total).

    Raises:
        DataError: no image is left without a label, or fewer than two classes have a readable one.
    """
    audit = audited(images, progress)
    known = with_labels(images, labels).select(set(images.ids) - set(audit.unreadable)).with_groups(audit.groups)
    known = replace(known, classes=tuple(name for name, count in known.class_counts.items() if count))
    labelled = known.select(record.id for record in known.records if record.label is not None)
    if len(labelled) == len(known):
        raise DataError(f"{images.source}: expected images without a label, found none. There is nothing to suggest.")
    if len(known.classes) < 2:
        raise DataError(
            f"Expected labels of at least two classes, found {len(known.classes)}. Label images of another."
        )
    features = extract(known, open_backbones(backbone), fitting(known), progress=progress)
    if len(features.manifest) != len(known):
        raise DataError(features.manifest.problems[-1].message)
    surroundings = Surroundings(features.rows(range(len(known)), views=VIEWS)[:, None])
    groups = len({record.group for record in labelled.records})
    parts = split(labelled, folds=min(_FOLDS, groups), seed=seed)
    fold = {name: number for number, names in enumerate(parts.folds) for name in names}
    targets = known.targets
    folds = np.array([fold.get(name, -1) for name in known.ids], np.int64)
    found = suggestions(surroundings, targets, folds, len(known.classes))
    sure = found.probs.max(1)
    rows = [row for row in np.argsort(-sure, kind="stable").tolist() if targets[row] < 0]
    said = {known.ids[row]: (known.classes[int(found.probs[row].argmax())], float(sure[row])) for row in rows}
    return Suggested(said, found.judged, found.wrong)
