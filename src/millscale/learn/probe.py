"""The probe recipe: frozen backbones, pooled maps, a linear head. No torch, a minute on two cores."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import DataError, UsageError
from millscale.features.backbone import DEFAULT_BACKBONE, Backbone, open_backbones
from millscale.features.extract import Features, averaged, extract
from millscale.features.graph import VIEW_COUNTS, classifier_graph
from millscale.features.working_size import check_size, fitting
from millscale.learn.calibrate import calibrated
from millscale.learn.heads import LinearHead
from millscale.learn.loop import (
    LOGISTIC_BUDGET,
    SHRINKAGES,
    STRENGTHS,
    Candidate,
    CrossValidation,
    HeadSearch,
    cross_validate,
)
from millscale.learn.openset import Guarded, fit_guard, guarded, unmeasured
from millscale.learn.recipe import Task, Trained
from millscale.metrics.predictions import Neighbours

NEIGHBOURS = 4


@dataclass(frozen=True)
class ProbeConfig:
    """Options of the probe recipe.

    Attributes:
        backbone: names or paths, joined by ``+``.
        views: dihedral views that the model averages when it judges an image: 1, 2 (mirrored up-down), 4 (all
            mirrored) or 8 (and transposed). Discriminant analysis learns from all eight anyway, logistic
            regression from what it will judge. More is mostly more accurate, and as much slower.
        head: "lda", "logistic", or "auto": whichever does better inside the training part.
        size: working size of the longer side in pixels; 0 keeps images as they are where none has more than
            320, and brings all to that otherwise.
    """

    backbone: str = DEFAULT_BACKBONE
    views: int = 4
    head: Literal["auto", "lda", "logistic"] = "auto"
    size: int = 0

    def __post_init__(self) -> None:
        if self.views not in VIEW_COUNTS:
            raise UsageError(f"views: expected one of {VIEW_COUNTS}, found {self.views}. Choose one of them.")
        if self.head not in ("auto", "lda", "logistic"):
            raise UsageError(f"head: expected auto, lda or logistic, found '{self.head}'. Choose one of them.")
        check_size(self.size)


def train_probe(task: Task, config: ProbeConfig) -> Trained:
    """Cross-validate and train a linear head on frozen features.

    Args:
        task: the labelled images with their folds.
        config: the options.

    Raises:
        DataError: fewer than three folds, or an image that cannot be decoded.
        ModelError: a backbone cannot be opened.
    """
    backbones = open_backbones(config.backbone)
    preprocess = fitting(task.manifest, config.size, task.progress)
    features = extract(task.manifest, backbones, preprocess, progress=task.progress)
    if len(features.manifest) != len(task.manifest):
        raise DataError(features.manifest.problems[-1].message)
    search = _search(task, features, config)
    result = cross_validate(search, task.progress)
    head = LinearHead(result.head.weight / result.temperature, result.head.bias / result.temperature)
    return Trained(
        probs=result.probs,
        graph=classifier_graph(backbones, head.weight, head.bias, views=config.views),
        preprocess=preprocess,
        temperature=result.temperature,
        calibrated_on="out-of-fold scores",
        details=_details(config, backbones, result, features.dimensions),
        licence_notes=" ".join(f"{b.spec.name}: {b.spec.licence}." for b in backbones),
        reference=_reference(features, head, config.views),
        trained_on=np.arange(len(task.manifest)),
        nearest=_nearest(task, features, result.probs, config.views),
        guarded=_guarded(search),
    )


def _search(task: Task, features: Features, config: ProbeConfig) -> HeadSearch:
    count = int(task.folds.max()) + 1
    if count < 3:
        raise DataError(
            f"Expected at least 3 folds, found {count}: one to judge, one to choose on, one to train on. "
            "Ask for more folds, or add images that share no pixels with the others."
        )
    candidates = [Candidate("lda", value) for value in SHRINKAGES]
    fits = len(task.manifest) * features.dimensions <= LOGISTIC_BUDGET
    if config.head == "logistic" or (config.head == "auto" and fits):
        candidates += [Candidate("logistic", value) for value in STRENGTHS]
    if config.head != "auto":
        candidates = [candidate for candidate in candidates if candidate.kind == config.head]
    classes = len(task.manifest.classes)
    return HeadSearch(features, task.targets, task.folds, classes, views=config.views, candidates=candidates)


def _reference(features: Features, head: LinearHead, views: int) -> NDArray[np.float64]:
    """What the bundle must answer for every image, from the cached features."""
    size = 256
    positions = range(len(features.manifest))
    parts = [positions[start : start + size] for start in range(0, len(features.manifest), size)]
    return np.concatenate([calibrated(head.logits(features.rows(part, views=views)), 1.0) for part in parts])


def _guarded(search: HeadSearch) -> Guarded | None:
    """The guard of all images, and each image's distance from the guard of the other folds."""
    distances = unmeasured(len(search.targets), search.classes)
    for fold in np.unique(search.folds):
        rows = np.flatnonzero(search.folds == fold)
        features = search.features.rows(rows.tolist(), views=search.views)
        distances.relative[rows], distances.plain[rows] = fit_guard(search.moments((fold,))).distances(features)
    return guarded(search.moments(()), distances, search.targets)


def _nearest(task: Task, features: Features, probs: NDArray[np.float64], views: int) -> Neighbours | None:
    """For each wrongly judged image, the most similar images of the folds that trained its judge."""
    targets = task.targets
    wrong = np.flatnonzero(probs.argmax(1) != targets)
    n = len(task.manifest)
    index = np.full((n, NEIGHBOURS), -1, np.int64)
    similarity = np.full((n, NEIGHBOURS), -np.inf)
    if len(wrong):
        queries = _unit(features.rows(wrong.tolist(), views=views))
        start = 0
        for chunk in features.chunks():
            keys = _unit(averaged(chunk, views)[:, 0])
            positions = np.arange(start, start + len(keys))
            likeness = np.where(task.folds[positions] == task.folds[wrong, None], -np.inf, queries @ keys.T)
            scores = np.hstack([similarity[wrong], likeness])
            candidates = np.hstack([index[wrong], np.broadcast_to(positions, likeness.shape)])
            order = np.argsort(-scores, axis=1, kind="stable")[:, :NEIGHBOURS]
            similarity[wrong] = np.take_along_axis(scores, order, 1)
            index[wrong] = np.take_along_axis(candidates, order, 1)
            start += len(keys)
    records = task.manifest.records
    return Neighbours(
        index,
        similarity,
        task.manifest.ids,
        tuple(record.path for record in records),
        tuple(record.label for record in records),
    )


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows centred and scaled to length 1, so that a product is a correlation."""
    centred = vectors - vectors.mean(1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred / np.maximum(length, 1e-12), np.float32)


def _details(
    config: ProbeConfig, backbones: Sequence[Backbone], result: CrossValidation, dimensions: int
) -> dict[str, Any]:
    return {
        "recipe": "probe",
        "config": {**asdict(config), "backbone": "+".join(b.spec.name for b in backbones)},
        "backbones": [{"name": b.spec.name, "sha256": b.digest, "licence": b.spec.licence} for b in backbones],
        "dimensions": dimensions,
        "head": asdict(result.candidate),
        "head_of_each_fold": [asdict(candidate) for candidate in result.chosen],
    }
