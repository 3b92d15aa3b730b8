"""From a folder of images to a bundle with its evidence: audit, folds, recipe, check, report."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from millscale.core import plugins
from millscale.core.errors import DataError
from millscale.data.audit.audit import Audit
from millscale.data.manifest import Manifest
from millscale.data.split import Split, load_split, split
from millscale.learn.recipe import Progress, Task, Trained
from millscale.metrics.predictions import PredictionTable
from millscale.pipeline.audited import audited
from millscale.pipeline.bundling import bundle_of, check_bundle, good_classes
from millscale.pipeline.config import RECIPES, TrainConfig, recipe_config
from millscale.pipeline.run import RUN_FILE, Run, environment, write_json, write_predictions
from millscale.pipeline.summary import audit_summary, mosaic_of, silent
from millscale.report.html import write_report
from millscale.report.report import Protocol, Report


def train(images: Manifest, config: TrainConfig, folder: Path | str, *, progress: Progress = silent) -> Run:
    """Audit the images, train and judge by group-clean cross-validation, and write everything to ``folder``.

    Interrupted at any moment and called again, it goes on from what is on disk and ends with the same bytes.

    Args:
        images: the data set, as `read` gives it.
        config: what to do.
        folder: receives the bundle, ``run.json``, ``split.json``, ``predictions.csv`` and the report.
        progress: called with (what, done, total).

    Raises:
        UsageError: an unknown recipe or option.
        DataError: too few labelled images, classes or groups.
        ModelError: a backbone is missing, or the written bundle disagrees with what was evaluated.
    """
    start = time.perf_counter()
    recipe = plugins.load(RECIPES, config.recipe)
    options = recipe_config(config.recipe, config.options)
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    audit = audited(images, progress)
    manifest = usable(images, audit)
    good_classes(manifest, config)  # a wrong name is refused before the work, not after it
    parts = _folds(manifest, config)
    parts.save(target / "split.json")
    manifest = manifest.select(name for fold in parts.folds for name in fold)
    task = Task(manifest, parts.fold_of(manifest.ids), config.seed, target / "checkpoints", progress)
    trained: Trained = recipe.run(task, options)
    table = _judged(_table(task, trained))
    metrics = table.evaluate(seed=config.seed)
    protocol = _protocol(task, table)
    bundle = bundle_of(task, config, trained, metrics, protocol.split)
    check_bundle(bundle, manifest, trained, progress)
    path = bundle.save(target / f"{bundle.card.name}.millscale")
    write_predictions(target / "predictions.csv", table)
    document = {
        "config": config.to_json(),
        "dataset": bundle.card.dataset,
        "trained": trained.details,
        "metrics": metrics.to_json(),
        **environment(),
    }
    report = Report(
        table,
        metrics,
        protocol,
        title=bundle.card.name,
        audit=audit_summary(audit),
        mosaic=mosaic_of(images, audit),
        details=_details(document, config),
    )
    write_report(target / "report.html", report)
    document["seconds"] = round(time.perf_counter() - start, 2)
    write_json(target / RUN_FILE, document)
    return Run(target, manifest, audit, parts, table, metrics, bundle, path, document, report)


def usable(images: Manifest, audit: Audit, *, classes: int = 2) -> Manifest:
    """The labelled, decodable images with their groups, and the classes that have any.

    Raises:
        DataError: fewer than ``classes`` classes have images.
    """
    bad = set(audit.unreadable)
    kept = images.select(r.id for r in images.records if r.label is not None and r.id not in bad)
    found = tuple(name for name, count in kept.class_counts.items() if count)
    if len(found) < classes:
        raise DataError(
            f"{images.source}: expected images of at least {classes} classes, found {len(kept)} usable "
            f"labelled images of {len(found)}. Put each class into a folder of its own."
        )
    return replace(kept.with_groups(audit.groups), classes=found)


def _folds(manifest: Manifest, config: TrainConfig) -> Split:
    """New folds, or those of the given file, whose test part is set aside and never looked at."""
    groups = {record.id: str(record.group) for record in manifest.records}
    if config.split is None:
        return split(manifest, folds=config.folds, groups=groups, seed=config.seed)
    given = load_split(Path(config.split))
    if not given.folds or not all(given.folds):
        raise DataError(
            f"{config.split}: expected folds with images in each, found {len(given.folds)} folds, some or all empty. "
            "Write the split anew with `millscale data split --folds 5`."
        )
    known = set(manifest.ids)
    held = [*(name for fold in given.folds for name in fold), *given.test]
    if sorted(held) != sorted(known):
        odd = sorted(set(held) ^ known) or sorted(name for name, times in Counter(held).items() if times > 1)
        raise DataError(
            f"{config.split}: expected folds and a test part that hold each of the {len(known)} images once, found "
            f"{len(odd)} that it lacks, adds or repeats, such as {odd[0]}. Write the split anew with "
            "`millscale data split`."
        )
    return given


def _table(task: Task, trained: Trained) -> PredictionTable:
    records = task.manifest.records
    return PredictionTable(
        ids=task.manifest.ids,
        paths=tuple(record.path for record in records),
        labels=tuple(record.label for record in records),
        classes=task.manifest.classes,
        probs=trained.probs,
        groups=tuple(record.group for record in records),
        fold=task.folds,
        nearest=trained.nearest,
    )


def _judged(table: PredictionTable) -> PredictionTable:
    """The rows that some model judged out of fold; recipes may hold out only some folds."""
    rows = np.flatnonzero(np.isfinite(table.probs).all(1))
    if len(rows) == len(table):
        return table
    nearest = table.nearest
    return replace(
        table,
        ids=tuple(table.ids[i] for i in rows),
        paths=tuple(table.paths[i] for i in rows),
        labels=tuple(table.labels[i] for i in rows),
        probs=table.probs[rows],
        groups=tuple(table.groups[i] for i in rows) if table.groups is not None else None,
        fold=table.fold[rows] if table.fold is not None else None,
        nearest=nearest and replace(nearest, index=nearest.index[rows], similarity=nearest.similarity[rows]),
    )


def _protocol(task: Task, table: PredictionTable) -> Protocol:
    count = int(task.folds.max()) + 1
    judged = sorted(set(table.fold.tolist())) if table.fold is not None else []
    held = f"{count}-fold cross-validation" if len(judged) == count else f"{len(judged)} of {count} folds held out"
    leaking = _leaking(task, judged)
    kept = f"{leaking} of {len(table)} judged images share pixels with a training image: a given split that leaks"
    trained = [int((task.folds != fold).sum()) for fold in judged]
    images = f"{min(trained)}" if min(trained) == max(trained) else f"{min(trained)} to {max(trained)}"
    return Protocol(
        f"{held}, {kept if leaking else 'images that share pixels kept together'}",
        f"the other {count - 1} folds, {images} images",
        leaking / len(table),
    )


def _leaking(task: Task, judged: Sequence[int]) -> int:
    """Judged images with a group mate in another fold; 0 for every split made here."""
    home: dict[str | None, set[int]] = {}
    for record, fold in zip(task.manifest.records, task.folds, strict=True):
        home.setdefault(record.group, set()).add(int(fold))
    pairs = zip(task.manifest.records, task.folds, strict=True)
    return sum(len(home[record.group]) > 1 for record, fold in pairs if fold in judged)


def _details(document: dict[str, Any], config: TrainConfig) -> dict[str, str]:
    trained = document["trained"]
    options = ", ".join(f"{name} {value}" for name, value in trained.get("config", {}).items())
    return {
        "Recipe": f"{config.recipe} ({options})",
        "Seed": str(config.seed),
        "Data": f"{document['dataset']['name']}, fingerprint {document['dataset']['fingerprint'][:16]}",
        "Costs": ", ".join(f"{name} {value:g}" for name, value in config.costs.model_dump().items()),
        "Versions": ", ".join(f"{name} {found}" for name, found in document["versions"].items()),
    }
