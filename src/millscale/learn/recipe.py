"""What a recipe is given and what it gives back, whether it trains a head or a whole network.

A recipe is one file in ``pipeline/recipes`` with ``Config`` (a frozen dataclass: its options) and
``run(task, config) -> Trained``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millscale.core.types import Boxes
from millscale.data.manifest import Manifest
from millscale.imaging.preprocess import Preprocess
from millscale.learn.openset import Guarded
from millscale.metrics.anomaly_pixels import PixelCounts
from millscale.metrics.false_alarms import FalseAlarmThreshold
from millscale.metrics.predictions import Neighbours
from millscale.runtime.card import Detection

Progress = Callable[[str, int, int], None]

CHECKED = 60
"""Images compared before a bundle is written: enough to meet every class, a few seconds of work."""


@dataclass(frozen=True)
class Task:
    """A training job.

    Attributes:
        manifest: images, each with its group; those without truth only for recipes that learn from them too.
        folds: ``(N,)`` int64, the fold that holds each image out, groups being whole; -1 for one without truth.
        seed: of everything random.
        folder: where the recipe may keep checkpoints; what it finds there it goes on from.
        progress: called with (what, done, total).
        judged: how many folds, from the first, may be held out; None means all. The rest is only trained on.
        good_classes: classes that are no defect.
    """

    manifest: Manifest
    folds: NDArray[np.int64]
    seed: int
    folder: Path
    progress: Progress
    judged: int | None = None
    good_classes: tuple[str, ...] = ()

    @property
    def targets(self) -> NDArray[np.int64]:
        """``(N,)`` class indices of the images, -1 for one without label."""
        return self.manifest.targets

    def training_rows(self, fold: int | None) -> NDArray[np.int64]:
        """Rows to learn from while ``fold`` is held out, or all where it is None.

        Images without truth are among them unless they share a group with the fold.
        """
        groups = [record.group or record.id for record in self.manifest.records]
        held = {group for group, home in zip(groups, self.folds, strict=True) if home == fold}
        bare = np.array([home >= 0 or group not in held for group, home in zip(groups, self.folds, strict=True)])
        return np.flatnonzero((self.folds != fold) & bare)


@dataclass(frozen=True)
class Trained:
    """A trained classifier with the evidence of how good it is.

    Attributes:
        probs: ``(N, C)`` calibrated probabilities of each image by a model that never saw its group;
            NaN rows where no such model was trained.
        graph: ONNX of the final model: ``images (n, h, w, 3)`` uint8 → ``probs (n, C)``, calibrated, and
            ``features (n, d)``.
        preprocess: brings an image to the graph's input.
        temperature: that the graph's logits are divided by.
        calibrated_on: what the temperature was fitted on, in words.
        details: what was chosen, for the card and ``run.json``; plain JSON values.
        licence_notes: the terms of what the model is made from.
        nearest: the nearest training images of the images that were predicted wrongly, if known.
        reference: ``(N, C)`` what ``graph`` must give for each image of the manifest, computed without it;
            NaN rows where not computed. The bundle is not written where they differ.
        trained_on: rows of the manifest that the final model was trained on.
        guarded: what knows the unknown; None where some class has no image to fit it on.
    """

    probs: NDArray[np.float64]
    graph: bytes
    preprocess: Preprocess
    temperature: float
    calibrated_on: str
    details: dict[str, Any]
    licence_notes: str
    reference: NDArray[np.float64]
    trained_on: NDArray[np.int64]
    nearest: Neighbours | None = field(default=None)
    guarded: Guarded | None = field(default=None)


@dataclass(frozen=True)
class Start:
    """Another bundle that a training went on from: its name, and `content_keys` ``(M,)`` of what it learned from."""

    name: str
    seen: NDArray[np.uint64]


@dataclass(frozen=True)
class TrainedDetector:
    """A trained detector with the evidence of how good it is.

    Attributes:
        boxes: of each image, what a model that never saw its group finds, in pixels of the original; None where
            no such model was trained.
        graph: ONNX of the final model: ``images (n, h, w, 3)`` uint8 → ``boxes (n, A, 4)``, ``scores (n, A, C)``.
        preprocess: brings an image to the graph's input.
        detection: how the graph's answer becomes boxes.
        details: what was chosen, for the card and ``run.json``; plain JSON values.
        licence_notes: the terms of what the model is made from.
        reference: of each image, what the final model finds, computed without ``graph``; None where not computed.
        trained_on: rows of the manifest that the final model was trained on.
        start: what it went on from, if not from public weights or at random.
        tile: side in pixels of the original of the windows that pictures are cut into; None takes them whole.
    """

    boxes: tuple[Boxes | None, ...]
    graph: bytes
    preprocess: Preprocess
    detection: Detection
    details: dict[str, Any]
    licence_notes: str
    reference: tuple[Boxes | None, ...]
    trained_on: NDArray[np.int64]
    start: Start | None = None
    tile: int | None = None


@dataclass(frozen=True)
class TrainedAnomaly:
    """A fitted anomaly scorer with the evidence of how good it is.

    Attributes:
        parts: ``(N,)`` int64, the part that each image was held out with.
        scores: ``(N,)`` of each judged image, in multiples of a threshold that its group had no say in; else NaN.
        maps: ``(h', w')`` map of each judged image by its id, in the same multiples.
        pixels: counted pixels of the judged images, likewise; None without a mask.
        good: ``(N,)`` bool, which images show no defect.
        graph: ONNX of the final model: ``images (n, h, w, 3)`` uint8 → ``map (n, h', w')``.
        preprocess: brings an image to the graph's input.
        threshold: of the raw score of the final model.
        normal: ``(M, 2)`` raw scores of held-out good images and the number of their group.
        details: what was chosen, for the card and ``run.json``; plain JSON values.
        licence_notes: the terms of what the model is made from.
        reference: ``(N,)`` raw scores that the final model gives; NaN where not computed.
        trained_on: rows of the manifest that the final model was fitted on.
        tile: side in pixels of the original of the windows that pictures are cut into; None takes them whole.
    """

    parts: NDArray[np.int64]
    scores: NDArray[np.float64]
    maps: Mapping[str, NDArray[np.float32]]
    pixels: PixelCounts | None
    good: NDArray[np.bool_]
    graph: bytes
    preprocess: Preprocess
    threshold: FalseAlarmThreshold
    normal: NDArray[np.float64]
    details: dict[str, Any]
    licence_notes: str
    reference: NDArray[np.float64]
    trained_on: NDArray[np.int64]
    tile: int | None = None


def spread(rows: NDArray[np.int64], most: int = CHECKED) -> NDArray[np.int64]:
    """Up to ``most`` of the rows, evenly spread."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, most).astype(int))] if len(rows) else rows
