"""What the bundles of all tasks have in common: the card's facts, the golden image, what was trained on."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from millscale.core.errors import unknown_name
from millscale.core.version import __version__
from millscale.data.classes import is_good
from millscale.data.manifest import Manifest
from millscale.imaging.decode import read_image
from millscale.imaging.quality import fit_limits, measure
from millscale.learn.recipe import Start, Task, Trained, TrainedAnomaly, TrainedDetector, spread
from millscale.pipeline.config import TrainConfig
from millscale.runtime.arrays import npy
from millscale.runtime.bundle import SEEN, Bundle, content_keys, make_bundle

GOLDEN = "golden.png"
MEASURED = 500
"""Training images that the limits of image quality are fitted to: a second of work."""


def bundle_with(
    card: Mapping[str, Any],
    members: Mapping[str, bytes],
    task: Task,
    config: TrainConfig,
    trained: Trained | TrainedAnomaly | TrainedDetector,
    protocol: str,
    start: Start | None = None,
) -> Bundle:
    """The bundle of these members, its card filled in with what every card says.

    Raises:
        UsageError: a good class that is no class.
        ModelError: a graph holds an operator that no bundle may.
    """
    manifest = task.manifest
    facts: dict[str, Any] = {
        "name": config.name or Path(config.data).resolve().name or "model",
        "millscale_version": __version__,
        "classes": manifest.classes,
        "good_classes": good_classes(manifest, config.good_classes),
        "costs": config.costs.model_dump(),
        "protocol": protocol,
        "dataset": {
            "name": Path(config.data).resolve().name,
            "images": len(manifest),
            "classes": manifest.class_counts,
            "groups": len({record.group for record in manifest.records}),
            "fingerprint": manifest.fingerprint,
        },
        "provenance": {
            **trained.details,
            "trained_on": len(trained.trained_on),
            "seed": config.seed,
            "folds": int(task.folds.max()) + 1,
        },
        "quality": quality_limits(manifest, trained.trained_on),
        "licence_notes": f"{config.licence_notes} {trained.licence_notes}".strip(),
    }
    keys = content_keys(manifest.records[row].content_hash for row in trained.trained_on)
    seen = np.union1d(keys, start.seen) if start else np.unique(keys)
    return make_bundle({**facts, **card}, {**members, SEEN: npy(seen)})


def good_classes(manifest: Manifest, named: Sequence[str] | None) -> list[str]:
    """The classes that are no defect: those named by the user, or where None is, those with a usual name.

    Raises:
        UsageError: a good class that is no class.
    """
    if named is None:
        return [name for name in manifest.classes if is_good(name)]
    for name in named:
        if name not in manifest.classes:
            raise unknown_name("class", name, manifest.classes)
    return list(named)


def golden_picture() -> bytes:
    """A PNG made here, so that no image of the user's travels with the bundle."""
    side = 96
    waves = np.add.outer(np.sin(np.arange(side) / 7.0), np.cos(np.arange(side) / 11.0))
    noise = np.random.default_rng(0).normal(0, 12, (side, side))
    pixels = np.clip(128 + 30 * waves + noise, 0, 255).astype(np.uint8)
    buffer = BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def quality_limits(manifest: Manifest, rows: NDArray[np.int64]) -> dict[str, tuple[float, float]]:
    """What the image quality of some of these rows says of a proper image; their labels do not matter."""
    return fit_limits([measure(read_image(manifest.records[row].path)) for row in spread(rows, MEASURED)])
