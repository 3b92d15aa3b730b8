"""Which labels of a data set are probably wrong: a ranked list, and a page to look at."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from millscale.data.labels import with_labels, write_table
from millscale.data.manifest import Manifest
from millscale.features.backbone import DEFAULT_BACKBONE
from millscale.learn.label_errors import RankedLabels, label_ranking
from millscale.learn.recipe import Progress
from millscale.pipeline.audited import audited
from millscale.pipeline.summary import silent
from millscale.pipeline.tasks.classify import usable
from millscale.report.label_pages import Doubted, write_doubt_page

COLUMNS = ("image", "label", "suggestion", "score")
PICTURED = 40
_TYPICAL = 3
_CONTRADICTED = 0.5


@dataclass(frozen=True)
class CheckedLabels:
    """The labels of a data set, judged.

    Attributes:
        rows: (image, label, suggestion, score), the most doubtful first.
        suspects: the images of which the model believes something else, likewise.
        pictured: the most doubtful ones with typical images beside them.
    """

    rows: tuple[tuple[str, str, str, float], ...]
    suspects: tuple[str, ...]
    pictured: tuple[Doubted, ...]


def check_labels(
    images: Manifest,
    labels: Mapping[str, str] | None = None,
    *,
    backbone: str = DEFAULT_BACKBONE,
    seed: int = 0,
    progress: Progress = silent,
) -> CheckedLabels:
    """Rank all labels by how strongly a model that never saw the image contradicts them.

    Args:
        images: the data set.
        labels: image id → class; None takes the data set's own.
        backbone: names or paths, joined by ``+``.
        seed: of the folds.
        progress: called with (what, done, total).

    Raises:
        DataError: fewer than two classes have labels, or too few groups to hold any out.
    """
    audit = audited(images, progress)
    judged = usable(images if labels is None else with_labels(images, labels), audit)
    found = label_ranking(judged, backbone=backbone, seed=seed, progress=progress)
    records, names = judged.records, judged.classes
    rows = tuple(
        (records[i].id, str(records[i].label), names[found.suggestion[i]], float(found.doubt[i])) for i in found.order
    )
    typical = _typical(judged, found)
    doubted = found.order[found.doubt[found.order] > _CONTRADICTED]
    pictured = tuple(
        Doubted(
            records[i].id,
            records[i].path,
            str(records[i].label),
            names[found.suggestion[i]],
            float(found.doubt[i]),
            (typical[str(records[i].label)], typical[names[found.suggestion[i]]]),
        )
        for i in doubted[:PICTURED]
    )
    return CheckedLabels(rows, tuple(records[i].id for i in doubted), pictured)


def _typical(judged: Manifest, found: RankedLabels) -> dict[str, tuple[Path, ...]]:
    """Of each class the images that the model is surest of, one a group."""
    result = {}
    for position, name in enumerate(judged.classes):
        picked: dict[str, Path] = {}
        for i in np.argsort(-found.probs[:, position], kind="stable"):
            record = judged.records[i]
            if record.label == name and len(picked) < _TYPICAL:
                picked.setdefault(str(record.group), record.path)
        result[name] = tuple(picked.values())
    return result


def write_check(found: CheckedLabels, out: Path) -> None:
    """Write ``ranking.csv`` (all labels), ``suspects.csv`` (those to strike out or apply) and ``suspects.html``."""
    rows = [(image, label, suggestion, f"{score:.6f}") for image, label, suggestion, score in found.rows]
    write_table(out / "ranking.csv", COLUMNS, rows)
    suspects = set(found.suspects)
    write_table(out / "suspects.csv", COLUMNS, [row for row in rows if row[0] in suspects])
    write_doubt_page(out / "suspects.html", found.pictured, images=len(rows), suspects=len(suspects))
