"""Training and grouping as a notebook calls them: few arguments, the same names as the command line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from millscale.data.manifest import Manifest
from millscale.data.split import Split
from millscale.learn.recipe import Progress
from millscale.pipeline.cluster import ClusterConfig, Clustering
from millscale.pipeline.cluster import cluster as cluster_config
from millscale.pipeline.config import TrainConfig
from millscale.pipeline.run import Run
from millscale.pipeline.summary import silent
from millscale.pipeline.train import train as train_config


def train(
    images: Manifest,
    *,
    folds: Split | int = 5,
    labels: Path | str | None = None,
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
        labels: a labels file (``image,label``) of some of the images, the rest being unlabelled; None takes the labels
            that the data set brings.
        task: "classify", "detect" or "anomaly"; None reads it off the recipe, or else off the labels.
        recipe: "probe", "semi", "finetune", "fixmatch", "scratch", "detect", "detect_semi" or "anomaly"; None takes the
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
        labels=str(labels) if labels else None,
    )
    return train_config(images, config, folder, progress=progress)


def cluster(
    images: Manifest,
    *,
    clusters: int | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    out: Path | str = "clusters",
    folders: Path | str | None = None,
    progress: Progress = silent,
) -> Clustering:
    """Group ``images`` by their looks, without labels, and keep the evidence in the folder ``out``.

    Args:
        images: the data set, from `millscale.read`; labels may be missing, and only score the result.
        clusters: how many; None estimates the number, from 2 to 15.
        options: other fields of `ClusterConfig`, such as ``{"method": "hdbscan"}``.
        seed: of everything random.
        out: the run's folder.
        folders: where to copy the images, one folder a cluster; None copies none.
        progress: called with (what, done, total).
    """
    config = ClusterConfig(clusters=clusters, seed=seed, **(options or {}))
    return cluster_config(images, config, Path(out), folders=Path(folders) if folders else None, progress=progress)
