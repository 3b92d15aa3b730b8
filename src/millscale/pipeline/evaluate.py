"""A bundle on a folder of labelled images: numbers with intervals, pictures, report."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import DataError, UsageError
from millscale.core.types import Boxes, Prediction, Problem
from millscale.data.audit.findings import TO_LEARN_FROM
from millscale.data.manifest import ImageRecord, Manifest
from millscale.data.sound import require_boxes, require_classes, require_sound
from millscale.imaging.decode import read_size
from millscale.learn.anomalies import count_pixels
from millscale.learn.recipe import Progress
from millscale.metrics.anomaly import AnomalyTable
from millscale.metrics.anomaly_pixels import PixelCounts
from millscale.metrics.bootstrap import group_index
from millscale.metrics.decisions import decision_rates, share
from millscale.metrics.detections import DetectionTable
from millscale.metrics.false_alarms import rate_for, threshold_by_cost
from millscale.metrics.openset import accepted, auroc
from millscale.metrics.predictions import PredictionTable
from millscale.pipeline import bundling
from millscale.pipeline.audited import audited
from millscale.pipeline.run import write_json
from millscale.pipeline.summary import audit_summary, mosaic_of, silent
from millscale.pipeline.tasks import Metrics, Table, flow_of, task_of
from millscale.report.html import write_report
from millscale.report.report import AnomalyReport, DetectionReport, Protocol, Report
from millscale.runtime.anomaly import read_normal
from millscale.runtime.bundle import SEEN, Bundle, open_bundle, recognised
from millscale.runtime.card import Card, Costs, Views
from millscale.runtime.inspector import Inspection, Inspector, packaged_bundle
from millscale.runtime.network import DEFAULT_BACKEND

_RATES = {
    "escape_rate": "Defective images that passed",
    "overkill_rate": "Good images that were rejected",
    "review_rate": "Images for a person",
    "unknown_rate": "Images called unknown",
    "coverage": "Images whose class is among the plausible ones, of which 95 % are promised",
}
_MAP_SIDE = 64
"""Values along the longer side of a map kept for pictures."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What ``evaluate`` found.

    Attributes:
        task: "classify", "detect" or "anomaly", what was judged.
        metrics: of the labelled, or annotated, images.
        table: the predictions.
        rates: of a classifier's verdicts: escape, overkill and review rate, how many a guard calls unknown, and
            the coverage of the plausible classes; None where undefined.
        rate_intervals: 95 % of each rate that is defined, over groups.
        trained_on: images of the folder that the bundle was trained on, by content.
        faults: images that are no proper photographs; their predictions count like the others.
        report: what the page shows.
        problems: of the data, such as images that were left out; that a class has too few to learn from is none here.
        plausible: of a classifier: the coverage by class, and the ``mean_plausible`` number of classes of an image.
        unknown: of classes that the bundle does not know: how well its guard tells them from the others.
        cheapest: of an anomaly scorer, where costs were given: the ``limit`` at which errors cost least on these
            images, in multiples of the one judged, and the ``false_alarm_rate`` that sets it.
        looks: of each detector, the ``views`` it looked at and the ``tile``, the side of its windows in pixels, None
            for whole images.
    """

    task: str
    metrics: Metrics
    table: Table
    rates: Mapping[str, float | None]
    rate_intervals: Mapping[str, tuple[float, float]]
    trained_on: int
    faults: int
    report: Report | DetectionReport | AnomalyReport
    problems: tuple[Problem, ...]
    unknown: Mapping[str, Any]
    cheapest: Mapping[str, float] | None = None
    plausible: Mapping[str, Any] = field(default_factory=dict)
    looks: tuple[Mapping[str, int | None], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The document that ``evaluate --json`` prints."""
        counts = {"trained_on": self.trained_on, "faults": self.faults}
        cheapest = {"cheapest": dict(self.cheapest)} if self.cheapest else {}
        looks = {"looks": [dict(look) for look in self.looks]} if self.looks else {}
        problems = {"problems": [asdict(problem) for problem in self.problems]}
        found: dict[str, Any] = dict(self.metrics.to_json())
        intervals = {**found["intervals"], **{name: list(ends) for name, ends in self.rate_intervals.items()}}
        rest = {**self.rates, **self.plausible, **self.unknown, **counts, **cheapest, **looks, **problems}
        return {**found, "intervals": intervals, **rest}


def evaluate(
    bundle: Bundle | Path | str | None,
    images: Manifest,
    folder: Path | str | None = None,
    *,
    task: str | None = None,
    views: Views | None = None,
    backend: str = DEFAULT_BACKEND,
    skip_bad: bool = False,
    unknown_classes: bool = False,
    good_classes: Sequence[str] | None = None,
    false_alarm_rate: float | None = None,
    costs: Mapping[str, float] | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Judge a bundle on labelled images, through the same path as ``inspect``.

    Args:
        bundle: itself or its file; None takes the packaged NEU bundle.
        images: the labelled data set.
        folder: receives ``report.html``, its pictures, ``evaluation.json`` and the predictions.
        task: "classify", "detect" or "anomaly"; None takes what the bundle can do, and where it can do several, what
            the data's labels ask for.
        views: dihedral views that a detector looks at; None as its card says.
        backend: what runs the networks.
        skip_bad: leave out the images whose annotations cannot be used, such as boxes of classes that the bundle does
            not know, instead of stopping.
        unknown_classes: classes that the bundle does not know are what its guard should call unknown.
        good_classes: of the images an anomaly scorer is judged on, the classes that are no defect; None takes those
            with a usual name.
        false_alarm_rate: of an anomaly scorer, another than the card's.
        costs: "escape", "overkill" and the like, each instead of the card's: a classifier is judged at them, for an
            anomaly scorer the limit is told at which errors cost least.
        progress: called with (what, done, total).

    Raises:
        UsageError: a task that the bundle cannot do, an option that its task has no use for, or a good class that is
            no class.
        DataError: no labelled image, labels that the bundle does not know, or annotations that cannot be used.
        ModelError: the bundle cannot be opened.
    """
    opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle or packaged_bundle())
    able = {part.task for part in opened.card.parts}
    name = task or (task_of(images) if len(able) > 1 else able.pop())
    _check_options(name, opened, views=views, good=good_classes, unknown=unknown_classes, costs=costs)
    flow = flow_of(name)
    inspector = Inspector.open(
        opened,
        backend=backend,
        tasks=(name,),  # type: ignore[arg-type]
        views=views,
        false_alarm_rate=false_alarm_rate,
    )
    images = require_sound(images, skip_bad=skip_bad)
    if name == "detect":
        require_boxes(images, " Or name the folder that holds both images and annotations.")
        images = require_classes(images, inspector.card.located, skip_bad=skip_bad)
    audit = audited(images, progress)
    audit = replace(audit, problems=tuple(p for p in audit.problems if p.code not in TO_LEARN_FROM))
    manifest = flow.usable(images, audit, to_learn=False)
    cost = inspector.card.costs.model_copy(update=dict(costs)) if costs else None
    if name == "detect":
        judged = _judge_boxes(inspector, manifest, progress)
    elif name == "anomaly":
        judged = _judge_scores(opened, inspector, manifest, good_classes, cost, progress)
    else:
        judged = _judge_classes(inspector, manifest, cost, progress, unknown_classes=unknown_classes)
    seen = int(recognised(manifest.select(judged.table.ids), opened.seen).sum())
    looks = tuple({"views": count, "tile": tile} for count, tile in inspector.looks)
    report = flow.report(
        judged.table,
        judged.metrics,
        _protocol(opened, name, seen, len(judged.table)),
        f"{inspector.card.name} on {Path(images.source).name}",
        audit_summary(audit),
        mosaic_of(images, audit),
        {
            "Bundle": inspector.card.name,
            "Made by": f"millscale {inspector.card.millscale_version}",
            **({"Looks at": "; ".join(map(_told, looks))} if looks else {}),
            **{
                _RATES[key]: rate_in_words(value, judged.rate_intervals.get(key)) for key, value in judged.rates.items()
            },
        },
    )
    result = Evaluation(
        name,
        judged.metrics,
        judged.table,
        judged.rates,
        judged.rate_intervals,
        seen,
        judged.faults,
        report,
        audit.problems,
        judged.unknown,
        judged.cheapest,
        judged.plausible,
        looks,
    )
    if folder is not None:
        target = Path(folder)
        write_report(target / "report.html", report)
        write_json(target / "evaluation.json", result.to_json())
        flow.save_predictions(target, judged.table)
    return result


@dataclass(frozen=True, eq=False)
class _Judged:
    """What a task's judging found, as `Evaluation` has it."""

    table: Table
    metrics: Metrics
    faults: int
    rates: Mapping[str, float | None] = field(default_factory=dict)
    rate_intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    unknown: Mapping[str, Any] = field(default_factory=dict)
    cheapest: Mapping[str, float] | None = None
    plausible: Mapping[str, Any] = field(default_factory=dict)


def _judge_boxes(inspector: Inspector, manifest: Manifest, progress: Progress) -> _Judged:
    found = _inspect(inspector, manifest.records, progress)
    table = _boxes_table(manifest, inspector.card, found)
    return _Judged(table, table.evaluate(thresholds=inspector.card.thresholds), _faults(found))


def _judge_scores(
    bundle: Bundle,
    inspector: Inspector,
    manifest: Manifest,
    good: Sequence[str] | None,
    cost: Costs | None,
    progress: Progress,
) -> _Judged:
    maps = _Maps(bundling.good_classes(manifest, good))
    found = _inspect(inspector, manifest.records, progress, maps)
    table = _scores_table(manifest, maps, found)
    cheapest = _cheapest(table, bundle, inspector, cost) if cost else None
    return _Judged(table, table.evaluate(threshold=1.0), _faults(found), cheapest=cheapest)


def _judge_classes(
    inspector: Inspector, manifest: Manifest, cost: Costs | None, progress: Progress, *, unknown_classes: bool
) -> _Judged:
    strangers = manifest.select(())
    if unknown_classes:
        known = [record.id for record in manifest.records if record.label in inspector.card.classes]
        strangers, manifest = manifest.select(set(manifest.ids) - set(known)), _restricted(manifest, known)
    _check_labels(manifest, inspector.card)
    found = _inspect(inspector, manifest.records, progress, costs=cost)
    table = _table(manifest, inspector.card.classes, found)
    rates, intervals = _rates(inspector, manifest, found)
    sets = [one for entry in found if entry.prediction and (one := inspector.plausible(entry.prediction))]
    plausible = {}
    if sets:
        covered = np.array([label in one for label, one in zip(table.labels, sets, strict=True)])
        rates["coverage"], intervals["coverage"] = share(covered, group_index(table.groups, len(table)))
        plausible = _plausible(sets, covered, np.array(table.labels, str))
    unknown = _unknown(found, strangers, _inspect(inspector, strangers.records, progress)) if len(strangers) else {}
    return _Judged(table, table.evaluate(), _faults(found), rates, intervals, unknown, plausible=plausible)


def _faults(found: Sequence[Inspection]) -> int:
    return sum(entry.prediction is not None and entry.prediction.fault is not None for entry in found)


def _check_options(
    task: str,
    bundle: Bundle,
    *,
    views: Views | None,
    good: Sequence[str] | None,
    unknown: bool,
    costs: Mapping[str, float] | None,
) -> None:
    """Refuse what would change nothing."""
    name = bundle.card.name
    if views is not None and task != "detect":
        raise UsageError(
            f"views: expected a detector to be judged, found the task '{task}'; a classifier's views are in its graph. "
            "Leave --views out."
        )
    if good is not None and task != "anomaly":
        raise UsageError(
            f"good: expected an anomaly bundle to be judged, found the task '{task}'; the card of '{name}' says which "
            "of its classes are good. Leave --good out."
        )
    if unknown and not (task == "classify" and bundle.card.openset):
        raise UsageError(
            f"unknown_classes: expected a classifier with a guard, found the task '{task}'"
            f"{' and a bundle without one' if task == 'classify' else ''}. Leave --unknown-classes out."
        )
    if costs and task == "detect":
        raise UsageError(
            f"costs: expected a classifier or an anomaly bundle, found the task '{task}', where the thresholds of the "
            "card decide. Leave --cost out."
        )


def _cheapest(table: AnomalyTable, bundle: Bundle, inspector: Inspector, costs: Costs) -> dict[str, float]:
    """The limit at which errors cost least on these images, and the false-alarm rate that gives it."""
    limit = threshold_by_cost(table.scores, table.defective, table.groups, costs.escape, costs.overkill)
    normal = read_normal(bundle.members)
    judged = inspector.alarms.threshold if inspector.alarms else 1.0
    return {"limit": limit, "false_alarm_rate": rate_for(normal[:, 0], normal[:, 1], limit * judged)}


def _rates(
    inspector: Inspector, manifest: Manifest, found: list[Inspection]
) -> tuple[dict[str, float | None], dict[str, tuple[float, float]]]:
    """The rates of a classifier's verdicts, and their intervals."""
    good = set(inspector.card.good_classes)
    outcomes = [entry.verdict.outcome for entry in found if entry.verdict]
    defective = np.array([record.label not in good for record in manifest.records]) if good else None
    groups = [record.group for record in manifest.records]
    rates = decision_rates(outcomes, defective, groups)
    values, intervals = rates.to_json(), dict(rates.intervals)
    if inspector.card.openset:
        unknown, ends = share(_ratios(found) > 1, group_index(groups, len(groups)))
        values, intervals = {**values, "unknown_rate": unknown}, {**intervals, "unknown_rate": ends}
    return values, intervals


def _plausible(sets: Sequence[Sequence[str]], covered: NDArray[np.bool_], labels: NDArray[np.str_]) -> dict[str, Any]:
    """What `Evaluation.plausible` says, of the plausible classes of each image, and whether its own is among them."""
    by_class = {str(name): float(covered[labels == name].mean()) for name in np.unique(labels)}
    return {"coverage_by_class": by_class, "mean_plausible": float(np.mean([len(one) for one in sets]))}


def rate_in_words(value: float | None, ends: tuple[float, float] | None) -> str:
    """A rate with its interval, for people."""
    if value is None or ends is None:
        return "undefined here"
    return f"{value:.2%} (95 % interval {ends[0]:.2%} to {ends[1]:.2%})"


def _ratios(found: list[Inspection]) -> NDArray[np.float64]:
    """``(n,)`` each image's distance over the limit."""
    novelties = [entry.prediction.novelty for entry in found if entry.prediction]
    return np.array([novelty.ratio for novelty in novelties if novelty])


def _unknown(known: list[Inspection], manifest: Manifest, found: list[Inspection]) -> dict[str, Any]:
    """Of images of unknown classes: the share of each that is called unknown, and how they are told from the known."""
    near, far, labels = _ratios(known), _ratios(found), np.array([record.label for record in manifest.records])
    flagged = {str(label): float((far[labels == label] > 1).mean()) for label in np.unique(labels)}
    return {"unknown_flagged": flagged, "unknown_auroc": auroc(near, far), "unknown_fpr95": accepted(near, far)}


def _restricted(manifest: Manifest, ids: list[str]) -> Manifest:
    """The manifest of these images and their classes."""
    if not ids:
        raise DataError(
            f"{manifest.source}: expected also images of the bundle's classes, to be told from the unknown, found none."
            " Add some, or use `millscale inspect`."
        )
    kept = manifest.select(ids)
    return replace(kept, classes=tuple(name for name, count in kept.class_counts.items() if count))


class _Maps:
    """What is kept of anomaly maps, in multiples of the limit: their pixels counted, and small ones for pictures."""

    def __init__(self, good: Sequence[str]) -> None:
        self.good, self.pixels, self.small = good, PixelCounts(), dict[str, NDArray[np.float32]]()

    def add(self, record: ImageRecord, prediction: Prediction) -> Prediction:
        """Count an image's map; the prediction without it, for maps of many images would fill the memory."""
        assert prediction.anomaly_map is not None  # noqa: S101 - every scorer gives one
        levels = (prediction.anomaly_map / np.maximum(1 - prediction.anomaly_map, 1e-6)).astype(np.float32)
        count_pixels(self.pixels, record, levels, good=record.label in self.good)
        step = max(1, max(levels.shape) // _MAP_SIDE)
        self.small[record.id] = levels[step // 2 :: step, step // 2 :: step].copy()
        return replace(prediction, anomaly_map=None)


def _scores_table(manifest: Manifest, maps: _Maps, found: list[Inspection]) -> AnomalyTable:
    """Scores in multiples of the limit, which stands at one half."""
    records = manifest.records
    scores = [entry.prediction.score for entry in found if entry.prediction]
    return AnomalyTable(
        ids=manifest.ids,
        paths=tuple(record.path for record in records),
        kinds=tuple(record.label for record in records),
        defective=np.array([record.label not in maps.good for record in records]),
        scores=np.array([score / (1 - score) for score in scores]),
        masks=tuple(record.mask for record in records),
        groups=tuple(record.group for record in records),
        pixels=maps.pixels if maps.pixels.regions else None,
        maps=maps.small,
    )


def _boxes_table(manifest: Manifest, card: Card, found: list[Inspection]) -> DetectionTable:
    """Of the classes that are located: a classifier beside the detector may know more."""
    manifest = manifest.with_classes(card.located)
    place = np.array([card.located.index(name) if name in card.located else -1 for name in card.classes])
    sizes = [read_size(record.path) for record in manifest.records]
    boxes = [entry.prediction.boxes for entry in found if entry.prediction]
    return DetectionTable(
        ids=manifest.ids,
        paths=tuple(record.path for record in manifest.records),
        sizes=tuple((height, width) for width, height in sizes),
        classes=manifest.classes,
        truth=tuple(record.boxes for record in manifest.records if record.boxes is not None),
        found=tuple(Boxes(one.xyxy, place[one.class_id], one.score) for one in boxes if one is not None),
        groups=tuple(record.group for record in manifest.records),
    )


def _told(look: Mapping[str, int | None]) -> str:
    where = f"windows of {look['tile']} pixels" if look["tile"] else "whole images"
    return where if look["views"] == 1 else f"{where}, in {look['views']} views"


def _check_labels(manifest: Manifest, card: Card) -> None:
    unknown = [name for name in manifest.classes if name not in card.classes]
    if unknown:
        raise DataError(
            f"{manifest.source}: expected the bundle's classes ({', '.join(card.classes)}), found "
            f"{', '.join(unknown)}. Rename those folders, leave them out, train a bundle on these images, or judge a "
            "bundle with a guard by them (--unknown-classes)."
        )


def _inspect(
    inspector: Inspector,
    records: tuple[ImageRecord, ...],
    progress: Progress,
    maps: _Maps | None = None,
    costs: Costs | None = None,
) -> list[Inspection]:
    found: list[Inspection] = []
    for entry in inspector.inspect_files((record.path for record in records), costs=costs, maps=maps is not None):
        if entry.error:
            raise entry.error
        kept = entry.prediction
        if maps is not None and kept is not None:
            kept = maps.add(records[len(found)], kept)
        found.append(replace(entry, prediction=kept))
        done = len(found)
        if done % 32 == 0 or done == len(records):
            progress("inspect", done, len(records))
    return found


def _table(manifest: Manifest, classes: tuple[str, ...], found: list[Inspection]) -> PredictionTable:
    return PredictionTable(
        ids=manifest.ids,
        paths=tuple(record.path for record in manifest.records),
        labels=tuple(record.label for record in manifest.records),
        classes=classes,
        probs=np.stack([entry.prediction.probs for entry in found if entry.prediction]),  # type: ignore[misc]
        groups=tuple(record.group for record in manifest.records),
    )


def _protocol(bundle: Bundle, task: str, seen: int, images: int) -> Protocol:
    card = bundle.card
    whole = {"dataset": card.dataset, "provenance": card.provenance}
    if task == "detect":
        whole = card.provenance.get("detector", whole)  # one beside a classifier, whose card this is
    trained = " and ".join(dict.fromkeys(_learned_from(**one) for one in whole["provenance"].get("members", [whole])))
    start = whole["provenance"].get("start")
    trained += f", after {start['images']} images by {start['name']}" if start else ""
    if SEEN not in bundle.members:
        trained += "; it keeps nothing of them, so that none can be recognised"
        return Protocol("every image of the folder", trained, leak=None)
    if not seen:
        # A bundle keeps no pixels of its training images: a crop or another copy of one is not recognised.
        trained += "; none of these files is one of them byte for byte, shared pixels cannot be told"
        return Protocol("every image of the folder", trained, leak=None)
    trained += f"; {seen} of these {images} images are among them, so this is no test"
    return Protocol("every image of the folder", trained, leak=seen / images)


def _learned_from(dataset: Mapping[str, Any], provenance: Mapping[str, Any], **_: object) -> str:
    """How many images of what a bundle, or a member of one, was trained on: a part of a data set, or all of it."""
    images = provenance.get("trained_on", dataset.get("images", 0))
    return f"{images} images of {dataset.get('name', 'an unnamed data set')}"
