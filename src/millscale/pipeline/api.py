"""Training as a notebook calls it: few arguments, the same names as the command line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from millscale.data.manifest import Manifest
from millscale.data.split import Split
from millscale.learn.recipe import Progress
from millscale.pipeline.config import TrainConfig
from millscale.pipeline.run import Run
from millscale.pipeline.summary import silent
from millscale.pipeline.train import train as train_config


def train(
    images: Manifest,
    *,
    folds: Split | int = 5,
    task: str | None = None,
    recipe: str | None = None,
    backbone: str | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    name: str | None = None,
    out: Path | str = "run",
    progress: Progress = silent,
) -> Run:
    """Train on ``images``, judge without leakage, and keep everything in the folder ``out``.

    Args:
        images: the data set, from `millscale.read`.
        folds: a split from `millscale.split`, or how many folds to make.
        task: "classify", "detect" or "anomaly"; None reads it off the recipe, or else off the labels.
        recipe: "probe", "finetune", "fixmatch", "scratch", "detect", "detect_semi" or "anomaly"; None takes the
            usual one of the task.
        backbone: a frozen backbone's name or path, or several joined by ``+``; None takes the packaged one.
        options: the recipe's other options, such as ``{"views": 8}``.
        seed: of everything random.
        name: of the bundle; by default the data folder's.
        out: the run's folder.
        progress: called with (what, done, total).
    """
    folder = Path(out)
    file = None
    if isinstance(folds, Split):
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "folds.json"
        folds.save(file)
    config = TrainConfig(
        data=images.source,
        recipe=recipe,
        task=task,
        options={**(options or {}), **({"backbone": backbone} if backbone else {})},
        folds=folds if isinstance(folds, int) else len(folds.folds),
        split=str(file) if file else None,
        seed=seed,
        name=name,
    )
    return train_config(images, config, folder, progress=progress)
