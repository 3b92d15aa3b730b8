"""Labels ranked by how strongly a model that never saw the image contradicts them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from millscale.core.errors import DataError
from millscale.data.audit.audit import SuspectLabel
from millscale.data.manifest import Manifest
from millscale.data.split import split
from millscale.features.backbone import DEFAULT_BACKBONE, open_backbones
from millscale.features.extract import extract
from millscale.features.graph import VIEWS
from millscale.features.working_size import fitting
from millscale.learn.calibrate import calibrated, fit_temperature
from millscale.learn.heads import fit_lda, fold_moments
from millscale.learn.recipe import Progress

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAST_SURE = 0.5
"""A model less sure than this contradicts nobody."""
_FOLDS = 5
_ROUNDS = 3
_SHRINKAGE = 0.1


@dataclass(frozen=True, eq=False)
class RankedLabels:
    """What a model says of each label.

    Attributes:
        order: ``(N,)`` indices, the most doubtful label first.
        suggestion: ``(N,)`` the most probable class other than the label.
        doubt: ``(N,)`` in [0, 1], the probability of the suggestion when it and the label are the only choices.
        probs: ``(N, C)``, out of fold.
    """

    order: Ints
    suggestion: Ints
    doubt: Floats
    probs: Floats


def rank_labels(vectors: NDArray[np.floating], targets: Ints, folds: Ints, classes: int) -> RankedLabels:
    """Rank labels by discriminant analysis out of fold, taught without the labels that it doubts itself.

    The rank is the margin of the label's logit (Northcutt et al. 2021): unlike a probability it never saturates.

    Args:
        vectors: ``(N, d)`` features.
        targets: ``(N,)`` class indices as labelled; at least two classes occur.
        folds: ``(N,)`` fold indices; images that share pixels are in one fold.
        classes: C.
    """
    trusted = np.ones(len(targets), np.bool_)
    for _ in range(_ROUNDS):
        logits = _held_out(vectors, targets, folds, classes, trusted)
        margin, suggestion = _margin(logits, targets)
        # Of a class that the model takes for another altogether, half of the labels still teach.
        usual = {c: np.median(margin[targets == c]) for c in np.unique(targets).tolist()}
        trusted = margin >= np.minimum(0.0, [usual[c] for c in targets.tolist()])
    temperature = fit_temperature(logits, targets)
    return RankedLabels(
        order=np.argsort(margin, kind="stable"),
        suggestion=suggestion,
        doubt=np.asarray(expit(-margin / temperature), np.float64),
        probs=calibrated(logits, temperature),
    )


def _held_out(
    vectors: NDArray[np.floating], targets: Ints, folds: Ints, classes: int, trusted: NDArray[np.bool_]
) -> Floats:
    """``(N, C)`` logits of each image by a head that saw the trusted labels of the other folds."""
    count = int(folds.max()) + 1
    parts = fold_moments([vectors[trusted][:, None]], targets[trusted], folds[trusted], classes)
    total = sum(parts[1:], start=parts[0])
    logits = np.zeros((len(targets), classes))
    for fold in range(count):
        rows = folds == fold
        seen = total - parts[fold] if fold < len(parts) else total
        logits[rows] = fit_lda(seen, _SHRINKAGE).logits(vectors[rows])
    return logits


def _margin(logits: Floats, targets: Ints) -> tuple[Floats, Ints]:
    """How far the label's logit is above the best other one, and which that is."""
    rows = np.arange(len(targets))
    others = logits.copy()
    others[rows, targets] = -np.inf
    suggestion = others.argmax(1)
    # A class that was not in the training part has a logit of -inf: nothing speaks against its labels, nor for them.
    own = np.where(np.isfinite(logits[rows, targets]), logits[rows, targets], others[rows, suggestion])
    return own - others[rows, suggestion], suggestion


def label_ranking(
    manifest: Manifest, *, backbone: str = DEFAULT_BACKBONE, seed: int = 0, progress: Progress
) -> RankedLabels:
    """`rank_labels` of a data set, on frozen features and folds that keep shared pixels together.

    Args:
        manifest: labelled, decodable images with their groups, of two classes or more.
        backbone: names or paths, joined by ``+``.
        seed: of the folds.
        progress: called with (what, done, total).

    Raises:
        DataError: fewer than five groups, or an image that cannot be decoded.
    """
    features = extract(manifest, open_backbones(backbone), fitting(manifest), progress=progress)
    if len(features.manifest) != len(manifest):
        raise DataError(features.manifest.problems[-1].message)
    groups = {record.id: str(record.group) for record in manifest.records}
    surfaces = len(set(groups.values()))
    if surfaces < _FOLDS:
        raise DataError(
            f"{manifest.source}: expected at least {_FOLDS} groups of images that share no pixels, found {surfaces}: "
            "too few to judge each by a model of the others. Add images of other pieces of metal."
        )
    folds = split(manifest, folds=_FOLDS, groups=groups, seed=seed)
    vectors = features.rows(range(len(manifest)), views=VIEWS)
    return rank_labels(vectors, manifest.targets, folds.fold_of(manifest.ids), len(manifest.classes))


def suspect_labels(manifest: Manifest, *, seed: int = 0, progress: Progress) -> list[SuspectLabel]:
    """Images whose label a model on the packaged backbone contradicts with confidence.

    Confident learning (Northcutt et al. 2021): an image labelled i is suspect where class j is the most probable and
    its probability reaches the mean probability of j over the images labelled j, and one half.

    Args:
        manifest: labelled, decodable images with their groups, of two classes or more.
        seed: of the folds.
        progress: called with (what, done, total).

    Raises:
        DataError: fewer than five groups.
    """
    probs = label_ranking(manifest, seed=seed, progress=progress).probs
    targets = manifest.targets
    usual = np.array([probs[targets == c, c].mean() for c in range(len(manifest.classes))])
    best = probs.argmax(1)
    # 0 where the model that judges an image has never seen its class, as where all of the class is one group.
    known = probs[np.arange(len(targets)), targets] > 0
    sure = known & (best != targets) & (probs.max(1) >= np.maximum(usual[best], LEAST_SURE))
    return [_suspect(manifest, int(i), int(best[i]), float(probs[i, best[i]])) for i in np.flatnonzero(sure)]


def _suspect(manifest: Manifest, row: int, suggestion: int, probability: float) -> SuspectLabel:
    record, name = manifest.records[row], manifest.classes[suggestion]
    reason = f"A model that never saw it says {name} at {probability:.0%}."
    return SuspectLabel(record.id, str(record.label), name, reason)
