"""Offer what was answered "unknown" as new classes: images sorted into folders, one for each kind."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from millscale.core.errors import DataError
from millscale.learn.clusters import cluster
from millscale.learn.embedding import embed
from millscale.learn.recipe import Progress
from millscale.pipeline.folders import copy_into_folders, require_empty
from millscale.pipeline.summary import silent
from millscale.runtime.inspector import Inspector

FEWEST = 4


@dataclass(frozen=True)
class Kind:
    """Images that look alike.

    Attributes:
        folder: where copies of them lie; its name is to become the class's.
        images: the originals.
        nearest: the known class that most of them are nearest to; None without a guard.
    """

    folder: Path
    images: tuple[Path, ...]
    nearest: str | None


def sort_unknown(
    bundle: Path | str | None, images: Sequence[Path], out: Path, *, progress: Progress = silent
) -> tuple[Kind, ...]:
    """Sort images into kinds by the features of a bundle's classifier, and copy each kind into a folder of its own.

    Args:
        bundle: its file; None takes the packaged NEU bundle.
        images: the files, at least four.
        out: receives ``kind_1`` and so on, the largest first; must be empty or not yet there.
        progress: called with (what, done, total).

    Raises:
        UsageError: ``out`` holds something, or the bundle has no classifier.
        DataError: fewer than four images, or one that cannot be decoded.
    """
    require_empty(out)
    if len(images) < FEWEST:
        raise DataError(f"Expected at least {FEWEST} images to sort, found {len(images)}. Collect more first.")
    inspector = Inspector.open(bundle, tasks=("classify",))
    features, nearest = [], []
    for done, path in enumerate(images, 1):
        features.append(inspector.features(path))
        novelty = inspector.inspect(path).novelty
        nearest.append(inspector.card.classes[novelty.nearest] if novelty else None)
        progress("features", done, len(images))
    alone = range(len(images))  # nobody looked for images that share pixels
    kind = cluster(embed(features, alone, alone)).labels
    rows = [np.flatnonzero(kind == number).tolist() for number in range(int(kind.max()) + 1)]
    kinds = {f"kind_{number}": [images[row] for row in part] for number, part in enumerate(rows, 1)}
    folders = copy_into_folders(out, kinds)
    usual = [Counter(nearest[row] for row in part).most_common(1)[0][0] for part in rows]
    return tuple(Kind(folders[k], tuple(kinds[k]), near) for k, near in zip(kinds, usual, strict=True))
