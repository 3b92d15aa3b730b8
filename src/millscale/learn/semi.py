"""The semi recipe: frozen backbones and a linear head that a few labels and many unlabelled images teach. No torch."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import DataError
from millscale.features.backbone import Backbone, open_backbones
from millscale.features.extract import averaged, extract
from millscale.features.graph import classifier_graph
from millscale.features.working_size import fitting
from millscale.learn.calibrate import calibrated, fit_temperature
from millscale.learn.few_labels import UNSURE, FewLabels, Surroundings
from millscale.learn.heads import LinearHead, fit_lda, fit_logistic
from millscale.learn.openset import fit_guard, guarded, moments_of, unmeasured
from millscale.learn.probe import ProbeConfig
from millscale.learn.recipe import Task, Trained

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Rows = NDArray[np.bool_]

SPREAD = "spread"
_SHRINKAGE, _STRENGTH = 0.1, 1.0


@dataclass(frozen=True)
class SemiConfig:
    """Options of the semi recipe.

    Attributes:
        backbone: names or paths, joined by ``+``.
        views: dihedral views that the model averages when it judges an image: 1, 2, 4 or 8.
        size: working size of the longer side in pixels; 0 keeps images as they are where none has more than
            320, and brings all to that otherwise.
    """

    backbone: str = ProbeConfig.backbone
    views: int = ProbeConfig.views
    size: int = ProbeConfig.size

    def __post_init__(self) -> None:
        ProbeConfig(self.backbone, self.views, size=self.size)


def train_semi(task: Task, config: SemiConfig) -> Trained:
    """Spread the labels, judge heads on labels held out, and keep the head that errs least.

    Beside the head that spread labels teach stand those taught by the labels alone; one of these is kept where it errs
    less. For each fold, choice and temperature come from the labels of the other folds, as judged by heads that have
    learned from this fold's: of a handful of labels none can be spared for a second round. An image that shares a group
    with the fold has no part in its training, labelled or not. A label without another of its class outside its fold is
    never judged.

    Args:
        task: labelled images with their folds, and unlabelled ones with fold -1.
        config: the options.

    Raises:
        DataError: no unlabelled image, or one that cannot be decoded.
        ModelError: a backbone cannot be opened.
    """
    if not (task.folds < 0).any():
        raise DataError(
            f"Expected unlabelled images to learn from, found none among {len(task.folds)}. Add such images, or learn "
            "from the labels alone with --recipe probe."
        )
    backbones = open_backbones(config.backbone)
    preprocess = fitting(task.manifest, config.size, task.progress)
    features = extract(task.manifest, backbones, preprocess, progress=task.progress)
    if len(features.manifest) != len(task.manifest):
        raise DataError(features.manifest.problems[-1].message)
    vectors = np.concatenate([averaged(chunk, config.views) for chunk in features.chunks()])
    evidence = _Evidence(task, vectors)
    heads, spread = _fit(vectors, task.targets, evidence.classes)
    task.progress("spreading labels", evidence.folds + 1, evidence.folds + 1)
    name = evidence.best(evidence.judged)
    said = heads[name].logits(vectors[:, 0])
    # Where no label can be held out, two ways of spreading them tell how sure to be: as often as they agree.
    held_out = evidence.temperature(name, evidence.judged)
    temperature = held_out or fit_temperature(said, spread.first.argmax(1))
    head = LinearHead(heads[name].weight / temperature, heads[name].bias / temperature)
    return Trained(
        probs=evidence.probs(),
        graph=classifier_graph(backbones, head.weight, head.bias, views=config.views),
        preprocess=preprocess,
        temperature=temperature,
        calibrated_on="out-of-fold scores" if held_out else "labels as another spreading gives them",
        details=_details(config, backbones, evidence, name) | {"dimensions": features.dimensions},
        licence_notes=" ".join(f"{b.spec.name}: {b.spec.licence}." for b in backbones),
        reference=calibrated(said, temperature),
        trained_on=np.arange(len(task.manifest)),
        guarded=guarded(spread.moments, evidence.distances, task.targets),
    )


def _fit(vectors: NDArray[np.float32], targets: Ints, classes: int) -> tuple[dict[str, LinearHead], FewLabels]:
    """The heads to choose from, the first preferred, and what taught the first."""
    spread = Surroundings(vectors).learn(targets, classes)
    known = targets >= 0
    labelled, own = vectors[known], targets[known]
    flat, each = labelled.reshape(-1, vectors.shape[2]), np.repeat(own, vectors.shape[1])
    heads = {
        SPREAD: spread.head,
        "lda": fit_lda(moments_of(flat, each, classes), _SHRINKAGE),
        "logistic": fit_logistic(labelled[:, 0], own, classes, _STRENGTH),
    }
    return heads, spread


class _Evidence:
    """What each head says of labels held out, and how far they lie from their classes.

    Attributes:
        logits: by head, ``(N, C)``; NaN rows where not judged.
        judged: ``(N,)`` bool.
        distances: for the guard.
    """

    def __init__(self, task: Task, vectors: NDArray[np.float32]) -> None:
        self.targets, self.fold_of = task.targets, task.folds
        self.classes, self.folds = len(task.manifest.classes), int(task.folds.max()) + 1
        self.logits: dict[str, Floats] = {}
        self.distances = unmeasured(len(self.targets), self.classes)
        for fold in range(self.folds):
            task.progress("spreading labels", fold, self.folds + 1)
            self._hold_out(fold, task.training_rows(fold), vectors)
        first = self.logits.get(SPREAD)
        judged = np.isfinite(first).any(1) if first is not None else np.zeros(len(self.targets), np.bool_)
        self.judged: Rows = np.asarray(judged)

    def _hold_out(self, fold: int, rows: Ints, vectors: NDArray[np.float32]) -> None:
        """Judge the fold's labels of classes that have others."""
        taught = np.unique(self.targets[rows[self.fold_of[rows] >= 0]])
        held = np.flatnonzero((self.fold_of == fold) & np.isin(self.targets, taught))
        if not len(held) or len(taught) < 2:
            return
        heads, spread = _fit(vectors[rows], self.targets[rows], self.classes)
        for name, head in heads.items():
            whole = self.logits.setdefault(name, np.full((len(self.targets), self.classes), np.nan))
            whole[held] = head.logits(vectors[held, 0])
        self.distances.relative[held], self.distances.plain[held] = fit_guard(spread.moments).distances(
            vectors[held, 0]
        )

    def errors(self, name: str, rows: Rows) -> int:
        """How many of these images the head calls wrongly."""
        return int((self.logits[name][rows].argmax(1) != self.targets[rows]).sum()) if rows.any() else 0

    def best(self, rows: Rows) -> str:
        """The head with the fewest errors; of equals the first."""
        return min(self.logits, key=lambda name: self.errors(name, rows), default=SPREAD)

    def temperature(self, name: str, rows: Rows) -> float | None:
        """That of a head on these images; None without any."""
        return fit_temperature(self.logits[name][rows], self.targets[rows]) if rows.any() else None

    def probs(self) -> Floats:
        """``(N, C)`` of each judged image, by the choice and the temperature of the other folds."""
        probs = np.full((len(self.targets), self.classes), np.nan)
        for fold in range(self.folds):
            own, rest = (self.judged & (self.fold_of == fold)), (self.judged & (self.fold_of != fold))
            if own.any():
                name = self.best(rest)
                probs[own] = calibrated(self.logits[name][own], self.temperature(name, rest) or UNSURE)
        return probs


def _details(config: SemiConfig, backbones: Sequence[Backbone], evidence: _Evidence, name: str) -> dict[str, Any]:
    return {
        "recipe": "semi",
        "config": {**asdict(config), "backbone": "+".join(b.spec.name for b in backbones)},
        "backbones": [{"name": b.spec.name, "sha256": b.digest, "licence": b.spec.licence} for b in backbones],
        "head": name,
        "labels": int((evidence.fold_of >= 0).sum()),
        "unlabelled": int((evidence.fold_of < 0).sum()),
        "judged": int(evidence.judged.sum()),
        "errors": {head: evidence.errors(head, evidence.judged) for head in evidence.logits},
    }
