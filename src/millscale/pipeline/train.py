"""From a folder of images to a bundle with its evidence: audit, folds, recipe, check, report."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millscale.core import plugins
from millscale.core.errors import DataError, UsageError
from millscale.data.audit.audit import Audit
from millscale.data.labels import read_labels, with_labels
from millscale.data.leaks import leaks
from millscale.data.manifest import Manifest
from millscale.data.sound import require_sound
from millscale.data.split import Split, load_split, split
from millscale.learn.recipe import Progress, Task, Trained, TrainedAnomaly, TrainedDetector
from millscale.pipeline.audited import audited
from millscale.pipeline.bundling import good_classes
from millscale.pipeline.config import RECIPES, TrainConfig, recipe_config
from millscale.pipeline.run import RUN_FILE, Run, environment, write_json
from millscale.pipeline.summary import audit_summary, mosaic_of, silent
from millscale.pipeline.tasks import Table, detect, flow_of, with_recipe
from millscale.report.html import write_report
from millscale.report.report import Protocol
from millscale.runtime.bundle import recognised
from millscale.runtime.card import Costs

_FEWEST_FOLDS = 2


def train(images: Manifest, config: TrainConfig, folder: Path | str, *, progress: Progress = silent) -> Run:
    """Audit the images, train and judge by group-clean cross-validation, and write everything to ``folder``.

    Interrupted at any moment and called again, it goes on from what is on disk and ends with the same bytes.

    Args:
        images: the data set, as `read` gives it.
        config: what to do.
        folder: receives the bundle, ``run.json``, ``split.json``, ``predictions.csv`` and the report.
        progress: called with (what, done, total).

    Raises:
        UsageError: an unknown recipe or option, or one that the task has no use for.
        DataError: too few labelled images, classes or groups.
        ModelError: a backbone is missing, or the written bundle disagrees with what was evaluated.
    """
    start = time.perf_counter()
    listed = set(images.ids)
    folder_images = require_sound(images, skip_bad=config.skip_bad)
    images = folder_images
    if config.labels is not None:
        images = with_labels(images, read_labels(config.labels, images))
    asked = config
    config = with_recipe(config, images)
    _refuse_useless(config)
    flow = flow_of(str(config.task))
    recipe = plugins.load(RECIPES, str(config.recipe))
    try:
        options = recipe_config(str(config.recipe), config.options)
    except UsageError as error:
        raise UsageError(f"{error}{_not_located(asked, config, images)}") from error
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    audit = audited(folder_images, progress)  # of which one serves every labels file
    if config.labels is not None:
        audit = replace(audit, suspect_labels=())
    known = flow.usable(images, audit)
    lost = sorted(set(images.classes) - set(known.classes))
    if config.labels is not None and lost:
        raise DataError(
            f"{config.labels}: expected a readable image of each class, found none of {', '.join(lost)}. Label another."
        )
    good = good_classes(known, config.good_classes)  # a wrong name is refused before the work, not after it
    manifest = _with_unlabelled(known, images, audit) if getattr(recipe, "UNLABELLED", False) else known
    bare = {record.id for record in images.records if record.label is None and record.boxes is None}
    parts, home = _dealt(known, manifest, config, bare, listed, named=flow.NAMED_SPLITS)
    manifest = _of_learned_classes(manifest.select(home), config)
    task = Task(
        manifest,
        np.array([home[name] for name in manifest.ids], np.int64),
        config.seed,
        target / "checkpoints",
        progress,
        judged=None if parts.folds else 1,
        good_classes=tuple(good),
    )
    trained = recipe.run(task, options)
    parts.save(target / "split.json")
    table = flow.judged(task, trained)
    metrics = flow.measured(table, config.seed) if len(table) else None
    protocol = _protocol(task, trained, table, audit, folder_images)
    bundle = flow.bundle_of(task, config, trained, metrics, protocol.split)
    flow.check_bundle(bundle, manifest, trained, progress)
    path = bundle.save(target / f"{bundle.card.name}.millscale")
    flow.save_predictions(target, table)
    document = {
        "config": config.to_json(),
        "dataset": bundle.card.dataset,
        "trained": trained.details,
        "metrics": bundle.card.metrics,
        **environment(),
    }
    report = None
    if metrics:
        details, told = _details(document, config), audit_summary(audit)
        report = flow.report(table, metrics, protocol, bundle.card.name, told, mosaic_of(images, audit), details)
        write_report(target / "report.html", report)
    document["seconds"] = round(time.perf_counter() - start, 2)
    write_json(target / RUN_FILE, document)
    return Run(target, manifest, audit, parts, table, metrics, bundle, path, document, protocol, report)


def _refuse_useless(config: TrainConfig) -> None:
    """Refuse what the task has no use for."""
    if config.labels is not None and config.task == "detect":
        raise UsageError("A labels file names what an image shows, not where; found the task 'detect'. Leave it out.")
    if config.costs != Costs.model_validate({}) and config.task == "detect":
        raise UsageError("costs: expected none, for thresholds decide what a detector finds. Leave --cost out.")
    if config.unknown_rate != TrainConfig.unknown_rate and config.task != "classify":
        raise UsageError(f"unknown_rate: expected a classifier, found the task '{config.task}'. Leave it out.")


def _of_learned_classes(manifest: Manifest, config: TrainConfig) -> Manifest:
    """The images that have a part, without the classes that only the part set aside shows: nothing learns them."""
    if config.task == "detect":
        return detect.of_drawn_classes(manifest)
    empty = sorted(name for name, count in manifest.class_counts.items() if not count)
    if config.task == "classify" and empty:
        raise DataError(
            f"{config.split}: expected images of each class to learn from, found none of {', '.join(empty)}, which no "
            "model could then answer. Move some into the folds."
        )
    return manifest


def _not_located(asked: TrainConfig, config: TrainConfig, images: Manifest) -> str:
    """What to add to an error where nobody has asked for a task and some may have meant to locate, else nothing."""
    drawn = sum(bool(record.boxes) for record in images.records)
    if asked.task or asked.recipe or config.task != "classify" or not drawn:
        return ""
    return f" {drawn} of {len(images)} images have boxes, too few to locate without being asked: --task detect asks."


def _with_unlabelled(known: Manifest, images: Manifest, audit: Audit) -> Manifest:
    """The usable images and, in the order of all, those that can be read but whose truth is not known."""
    usable, bad = {record.id: record for record in known.records}, set(audit.unreadable)
    records = (usable.get(r.id) or replace(r, group=audit.groups[r.id]) for r in images.records if r.id not in bad)
    return replace(known, records=tuple(records))


def _dealt(
    known: Manifest, manifest: Manifest, config: TrainConfig, unlabelled: set[str], listed: set[str], *, named: bool
) -> tuple[Split, dict[str, int]]:
    """The split, and the fold of each image of ``manifest`` that has a part in it.

    Of named parts, 0 is judged and 1 learned from. An image that is not ``known`` gets -1, or nothing where its group
    has a part in what a given split sets aside. A given split may list all that is ``listed`` in
    the folder, also what is of no use.
    """
    usable = set(known.ids)
    bare = set(manifest.ids) - usable
    parts = _folds(known, config, (bare | unlabelled) - usable, listed - usable, named=named)
    folds = parts.folds or (parts.test if usable.isdisjoint(parts.val) else parts.val, parts.train)
    home = {name: k for k, fold in enumerate(folds) for name in fold if name in usable}
    groups = {record.id: record.group for record in manifest.records}
    aside = {groups.get(name) for name in (*parts.test, *(() if parts.folds else parts.val))}
    return parts, home | {name: -1 for name in bare if groups[name] not in aside}


def _folds(manifest: Manifest, config: TrainConfig, unlabelled: set[str], others: set[str], *, named: bool) -> Split:
    """New folds, or those of the given file, whose test part is set aside and never looked at.

    Where ``named``, the file may hold no folds but a training part and one that it is judged on. It may or may not
    list ``others``, and folds of these alone are none. Where some of them are ``unlabelled``, there are no more folds
    than labelled groups.
    """
    groups, known = {record.id: str(record.group) for record in manifest.records}, set(manifest.ids)
    if config.split is None:
        folds = min(config.folds, len(set(groups.values()))) if unlabelled else config.folds
        return split(manifest, folds=folds, groups=groups, seed=config.seed)
    given = load_split(Path(config.split))
    if named and not given.folds:
        return _restricted(given, known, unlabelled, config.split)
    filled = tuple(fold for fold in given.folds if not known.isdisjoint(fold))
    if len(filled) < _FEWEST_FOLDS:
        raise DataError(
            f"{config.split}: expected at least {_FEWEST_FOLDS} folds with images to learn from, found "
            f"{len(filled)} among {len(given.folds)}. Write the split anew with `millscale data split --folds 5`."
        )
    held = [name for part in (*given.folds, given.test) for name in part if name not in others]
    if sorted(held) != sorted(known):
        odd = sorted(set(held) ^ known) or sorted(name for name, times in Counter(held).items() if times > 1)
        raise DataError(
            f"{config.split}: expected folds and a test part that hold each of the {len(known)} images once, found "
            f"{len(odd)} that it lacks, adds or repeats, such as {odd[0]}. Write the split anew with "
            "`millscale data split`."
        )
    return replace(given, folds=filled)


def _restricted(given: Split, known: set[str], unlabelled: set[str], file: str) -> Split:
    """The named parts as far as their images are there; some that are ``known`` must learn and be judged."""
    learned, judged = (len(known.intersection(part)) for part in (given.train, (*given.val, *given.test)))
    if not learned or not judged:
        raise DataError(
            f"{file}: expected usable images in the part 'train' and in 'val' or 'test', found {learned} and "
            f"{judged}. Write the split anew with `millscale data split --part`."
        )
    there = known | unlabelled
    train, val, test = (tuple(n for n in part if n in there) for part in (given.train, given.val, given.test))
    return replace(given, train=train, val=val, test=test)


def _protocol(
    task: Task, trained: Trained | TrainedAnomaly | TrainedDetector, table: Table, audit: Audit, images: Manifest
) -> Protocol:
    parts, fitted = task.folds, np.ones(len(task.folds), np.bool_)
    if isinstance(trained, TrainedAnomaly):  # which learns from good images alone
        parts, fitted = trained.parts, np.isin(np.arange(len(fitted)), trained.trained_on)
    count = int(parts.max()) + 1
    if not len(table):
        return Protocol("nothing held out: no class has labels in two groups", "nothing else", 0.0)
    judged = sorted(set(table.fold.tolist())) if table.fold is not None else []
    named = (task.judged is not None or isinstance(trained, TrainedAnomaly)) and count == 2 and judged == [0]
    held = f"{count}-fold cross-validation" if len(judged) == count else f"{len(judged)} of {count} folds held out"
    if named:
        held = "a given training part and test part"
    learned = {part: _chosen(replace(task, folds=parts).training_rows(part), fitted) for part in judged}
    start = trained.start if isinstance(trained, TrainedDetector) else None
    # Whether or not they have a part.
    earlier = list(compress(images.ids, recognised(images, start.seen))) if start else []
    sides = [(_ids(task, parts == part), (*earlier, *_ids(task, learned[part]))) for part in judged]
    leaking = sum(leak.leaking for test, train in sides for leak in leaks({"test": test, "train": train}, audit))
    kept = f"{leaking} of {len(table)} judged images share pixels with a training image: a given split that leaks"
    sizes = _range([int((rows & (parts >= 0)).sum()) for rows in learned.values()])
    bare = [int((rows & (parts < 0)).sum()) for rows in learned.values()]
    also = f" and {_range(bare)} without labels" if any(bare) else ""
    after = f", after {len(start.seen)} images by {start.name}" if start else ""
    elsewhere = start is not None and len(earlier) < len(start.seen)
    if elsewhere:
        after += ", not all of them here, so that shared pixels cannot be told"
    return Protocol(
        f"{held}, {kept if leaking else 'images that share pixels kept together'}",
        f"{'the training part' if named else f'the other {count - 1} folds'}, {sizes} images{also}{after}",
        None if elsewhere and not leaking else leaking / len(table),
    )


def _chosen(rows: NDArray[np.int64], among: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``among``, but only in these rows."""
    chosen = np.zeros_like(among)
    chosen[rows] = among[rows]
    return chosen


def _range(sizes: Sequence[int]) -> str:
    return f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"


def _ids(task: Task, chosen: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(compress(task.manifest.ids, chosen))


def _details(document: dict[str, Any], config: TrainConfig) -> dict[str, str]:
    trained = document["trained"]
    options = ", ".join(f"{name} {value}" for name, value in trained.get("config", {}).items())
    costs = ", ".join(f"{name} {value:g}" for name, value in config.costs.model_dump().items())
    return {
        "Recipe": f"{config.recipe} ({options})",
        "Seed": str(config.seed),
        "Data": f"{document['dataset']['name']}, fingerprint {document['dataset']['fingerprint'][:16]}",
        **({} if config.task == "detect" else {"Costs": costs}),
        "Versions": ", ".join(f"{name} {found}" for name, found in document["versions"].items()),
    }
