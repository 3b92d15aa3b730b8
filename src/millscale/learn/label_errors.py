"""Labels that a model, judging each image out of fold, is sure are wrong."""

from pathlib import Path

import numpy as np

from millscale.data.audit.audit import SuspectLabel
from millscale.data.manifest import Manifest
from millscale.data.split import split
from millscale.learn.probe import ProbeConfig, train_probe
from millscale.learn.recipe import Progress, Task

LEAST_SURE = 0.5
"""A model less sure than this contradicts nobody."""


def suspect_labels(manifest: Manifest, *, seed: int = 0, progress: Progress) -> list[SuspectLabel]:
    """Images whose label a probe on the packaged backbone contradicts with confidence.

    Confident learning (Northcutt et al. 2021): an image labelled i is suspect where class j is the most
    probable and its probability reaches the mean probability of j over the images labelled j, and one half,
    all of it out of fold.

    Args:
        manifest: labelled, decodable images with their groups, of two classes or more.
        seed: of the folds.
        progress: called with (what, done, total).

    Raises:
        DataError: fewer than five groups.
    """
    groups = {record.id: str(record.group) for record in manifest.records}
    parts = split(manifest, folds=5, groups=groups, seed=seed)
    task = Task(manifest, parts.fold_of(manifest.ids), seed, Path(), progress)
    probs = train_probe(task, ProbeConfig(views=1, head="lda")).probs
    targets = task.targets
    usual = np.array([probs[targets == c, c].mean() for c in range(len(manifest.classes))])
    best = probs.argmax(1)
    sure = (best != targets) & (probs.max(1) >= np.maximum(usual[best], LEAST_SURE))
    return [_suspect(manifest, int(i), int(best[i]), float(probs[i, best[i]])) for i in np.flatnonzero(sure)]


def _suspect(manifest: Manifest, row: int, suggestion: int, probability: float) -> SuspectLabel:
    record, name = manifest.records[row], manifest.classes[suggestion]
    reason = f"A model that never saw it says {name} at {probability:.0%}."
    return SuspectLabel(record.id, str(record.label), name, reason)
