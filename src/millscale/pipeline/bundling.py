"""From a trained model to a bundle: its card, its golden image, and the check that nothing was lost."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from millscale.core.errors import ModelError, unknown_name
from millscale.core.version import __version__
from millscale.data.manifest import Manifest
from millscale.imaging.decode import decode_image
from millscale.learn.calibrate import conformal_threshold
from millscale.learn.recipe import Progress, Task, Trained
from millscale.metrics.evaluation import ClassificationMetrics
from millscale.pipeline.config import TrainConfig
from millscale.runtime.backends.onnxruntime import Network
from millscale.runtime.bundle import Bundle, make_bundle
from millscale.runtime.inspector import Inspector

GOOD_NAMES = frozenset({"good", "ok", "normal", "free", "mt_free", "no_defect", "no defect", "defect-free", "perfect"})
MISCOVERAGES = (0.01, 0.05, 0.1)
PARITY = 1e-4
"""How far a probability of the bundle may be from the one that was evaluated."""
CHECKED = 60
"""Images compared before a bundle is written: enough to meet every class, a few seconds of work."""


def bundle_of(
    task: Task, config: TrainConfig, trained: Trained, metrics: ClassificationMetrics, protocol: str
) -> Bundle:
    """The bundle of a trained classifier, its card filled in from what was done.

    Raises:
        UsageError: a good class that is no class.
        ModelError: the graph holds an operator that no bundle may.
    """
    manifest = task.manifest
    rows = np.asarray(np.isfinite(trained.probs).all(1))
    probs, targets = trained.probs[rows], task.targets[rows]
    groups = [record.group or record.id for record, judged in zip(manifest.records, rows, strict=True) if judged]
    golden = _golden_picture()
    card: dict[str, Any] = {
        "name": config.name or Path(config.data).resolve().name or "model",
        "millscale_version": __version__,
        "parts": [{"task": "classify", "file": "classifier.onnx"}],
        "classes": manifest.classes,
        "good_classes": good_classes(manifest, config),
        "preprocess": trained.preprocess.to_json(),
        "calibration": {
            "method": "temperature",
            "temperature": trained.temperature,
            "fitted_on": "out-of-fold scores",
        },
        "costs": config.costs.model_dump(),
        "conformal": {str(alpha): conformal_threshold(probs, targets, alpha, groups) for alpha in MISCOVERAGES},
        "golden": {"file": "golden.png", "probs": _answer(trained, golden)},
        "protocol": protocol,
        "metrics": metrics.to_json(),
        "dataset": {
            "name": Path(config.data).resolve().name,
            "images": len(manifest),
            "classes": manifest.class_counts,
            "groups": len({record.group for record in manifest.records}),
            "fingerprint": manifest.fingerprint,
        },
        "provenance": {**trained.details, "seed": config.seed, "folds": int(task.folds.max()) + 1},
        "licence_notes": f"{config.licence_notes} {trained.licence_notes}".strip(),
    }
    seen = np.array(sorted(int(r.content_hash[:16], 16) for r in manifest.records), np.uint64)
    members = {"classifier.onnx": trained.graph, "golden.png": golden, "seen.npy": _npy(seen)}
    return make_bundle(card, members)


def good_classes(manifest: Manifest, config: TrainConfig) -> list[str]:
    """The classes that are no defect: those named by the user, or those with a usual name.

    Raises:
        UsageError: a good class that is no class.
    """
    if config.good_classes is None:
        return [name for name in manifest.classes if name.lower() in GOOD_NAMES]
    for name in config.good_classes:
        if name not in manifest.classes:
            raise unknown_name("class", name, manifest.classes)
    return list(config.good_classes)


def _golden_picture() -> bytes:
    """A PNG made here, so that no image of the user's travels with the bundle."""
    side = 96
    waves = np.add.outer(np.sin(np.arange(side) / 7.0), np.cos(np.arange(side) / 11.0))
    noise = np.random.default_rng(0).normal(0, 12, (side, side))
    pixels = np.clip(128 + 30 * waves + noise, 0, 255).astype(np.uint8)
    buffer = BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def _answer(trained: Trained, picture: bytes) -> list[float]:
    tensor, _ = trained.preprocess.apply(decode_image(picture))
    probs = Network(trained.graph, "classifier", threads=1).run({"images": tensor[None]}, ["probs"])[0][0]
    return [min(max(float(p), 0.0), 1.0) for p in probs]


def _npy(array: NDArray[np.generic]) -> bytes:
    buffer = BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def check_bundle(bundle: Bundle, manifest: Manifest, trained: Trained, progress: Progress) -> None:
    """Refuse a bundle that does not answer as the model that was evaluated.

    Every image for which the recipe gave a reference is compared, up to ``CHECKED`` of them, evenly spread.

    Raises:
        ModelError: a probability differs by more than 1e-4, or a decision does.
    """
    rows = np.flatnonzero(np.isfinite(trained.reference).all(1))
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, CHECKED).astype(int))] if len(rows) else rows
    inspector = Inspector(bundle)
    paths = [manifest.records[row].path for row in rows]
    for done, (row, found) in enumerate(zip(rows, inspector.inspect_files(paths), strict=True), 1):
        expected = trained.reference[row]
        if found.prediction is None or found.prediction.probs is None:
            raise ModelError(f"{found.path}: the bundle cannot read this image any more: {found.error}.")
        difference = float(np.abs(found.prediction.probs - expected).max())
        if difference > PARITY or int(found.prediction.probs.argmax()) != int(expected.argmax()):
            raise ModelError(
                f"{found.path}: the bundle's probabilities differ from the evaluated model's by "
                f"{difference:.1e} (at most {PARITY:.0e} is allowed). The bundle is not written; please report this."
            )
        progress("parity of the bundle", done, len(rows))
