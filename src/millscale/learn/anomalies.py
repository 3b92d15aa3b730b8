"""Fit an anomaly scorer on good images alone, and score images that it was not fitted on. No torch."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millscale.core import plugins
from millscale.core.errors import DataError, UsageError
from millscale.core.types import Image
from millscale.data.manifest import ImageRecord
from millscale.data.masks import foreground
from millscale.features.backbone import DEFAULT_BACKBONE, Backbone, open_backbones
from millscale.features.patch_graph import patch_graph
from millscale.imaging.decode import read_image, read_mask, read_size
from millscale.imaging.preprocess import Geometry, Preprocess
from millscale.imaging.tiling import STEP, Tiling, Window, check_tile
from millscale.learn.anomaly_graph import Evidence, Usual, anomaly_graph, evidence_graph, scaled_graph, usual
from millscale.learn.patches import COPIES, in_parallel, joined, sample
from millscale.learn.recipe import Task, TrainedAnomaly, spread
from millscale.metrics.anomaly_pixels import PixelCounts
from millscale.metrics.false_alarms import threshold_for
from millscale.runtime.anomaly import Anomaly, Scorer, raw_score, tiling_of
from millscale.runtime.backends.onnxruntime import Network

METHODS = "millscale.learn.anomaly"
PARTS = 3
"""Held-out parts that scales and thresholds are chosen on."""
FEWEST, FEWEST_GROUPS = 20, 3
_REMEMBERED, _LARGE = 64, 2
"""Views kept, of which some are needed again, and large images that views are cut out of."""
_WINDOWS = 1600
"""Windows wanted in all to fit on."""
_DRAWING, _FITTING = 2.5, 3.0
"""To draw on a copy and look at it, as a multiple of looking at it; and seconds to fit a method once."""
_SUSPECT, _SUSPECTS = 6.0, 20
"""Robust deviations above the median from which a good image is worth a look, and how many are named: defects hide
among good images, and raise the threshold."""


@dataclass(frozen=True)
class AnomalyConfig:
    """Options of the anomaly recipe.

    Attributes:
        backbone: names or paths, joined by ``+``.
        method: names in ``millscale.learn.anomaly``, joined by ``+``; their maps are averaged on one scale.
        size: images are brought to ``size * size`` pixels, proportions kept.
        false_alarm_rate: share of good images of new groups that may be called anomalous.
        bank: most patches that PatchCore keeps; a bundle grows by ``4 * components`` bytes for each.
        components: principal components that PatchCore keeps of a patch.
        tile: pixels of the original along the side of the overlapping windows that large images are cut into, each
            looked at with ``size * size`` pixels; 0 takes images whole.
    """

    backbone: str = DEFAULT_BACKBONE
    method: str = "patchcore+synthetic+whole"
    size: int = 256
    false_alarm_rate: float = 0.01
    bank: int = 1500
    components: int = 64
    tile: int = 0

    def __post_init__(self) -> None:
        for name, least in (("size", 64), ("bank", 1), ("components", 1)):
            if getattr(self, name) < least:
                raise UsageError(f"{name}: expected {least} or more, found {getattr(self, name)}.")
        check_tile(self.tile, self.size)
        if not 0 < self.false_alarm_rate < 1:
            raise UsageError(f"false_alarm_rate: expected a number between 0 and 1, found {self.false_alarm_rate}.")


def train_anomaly(task: Task, config: AnomalyConfig) -> TrainedAnomaly:
    """Fit, cross-fit the scale and the threshold over groups, and score every judged image.

    Defective images and those of the data's own test part are never fitted on and choose nothing. Where there is such a
    test part, it is judged by the final model; else every image is, by a model that saw nothing of its part.

    Args:
        task: images, each labelled good or with the kind of its defect.
        config: the options.

    Raises:
        UsageError: no such method.
        DataError: too few good images or groups, or an image that cannot be decoded.
        ModelError: a backbone cannot be opened.
    """
    methods = [plugins.load(METHODS, name.strip()) for name in config.method.split("+")]
    backbones = open_backbones(config.backbone)
    preprocess = Preprocess("area", (config.size, config.size))
    rows = _rows(task)
    parts = task.folds % PARTS
    tiling = tiling_of(preprocess, config.tile or None)
    views = _views(task, rows.fitted, tiling)
    load = _loader(task, views, preprocess, tiling)
    viewed = np.array([row for row, _ in views])
    network, drawn = Network(patch_graph(backbones), "patch network", threads=1), any(each.DRAWN for each in methods)
    task.progress(_ahead(config, network, load(0), len(views), len(methods), drawn=drawn), 1, 1)
    samples = sample(network, load, parts[viewed], drawn=drawn, seed=task.seed, progress=task.progress)

    def fit(kept: NDArray[np.bool_]) -> list[Evidence]:
        patches = joined([one for one, keep in zip(samples, kept, strict=True) if keep])
        return [method.fit(patches, config.bank, config.components, task.seed) for method in methods]

    fitted_parts = parts[rows.fitted]
    held: list[list[Evidence]] = []
    for part in range(PARTS):
        task.progress("models", part, PARTS + 1)
        held.append(fit(parts[viewed] != part))
    final = fit(np.ones(len(samples), np.bool_))
    task.progress("models", PARTS + 1, PARTS + 1)
    maps = _evidence(task, backbones, held, parts[viewed], load)

    def scales(kept: NDArray[np.bool_]) -> list[Usual]:
        some = [one for one, keep in zip(maps, kept, strict=True) if keep]
        return [usual([one[k] for one in some], getattr(each, "MOST", None)) for k, each in enumerate(methods)]

    # An image that had a share in its scale would seem more usual than a new one.
    part_scales = [scales(parts[viewed] != part) for part in range(PARTS)]
    graph = anomaly_graph(backbones, final, scales(np.ones(len(maps), np.bool_)))
    scored = [anomaly_graph(backbones, each, own) for each, own in zip(held, part_scales, strict=True)]
    crossed = [_scorer(each, preprocess, config) for each in scored]
    final_scorer = _scorer(graph, preprocess, config)

    if tiling is None:  # what the models held out say of each image is known but for its scale
        by_row = _scaled(task, rows.fitted, maps, part_scales)
    else:
        by_row = _score(task, rows.fitted, crossed, "held-out good images")
    raw = np.array([by_row[row].raw for row in rows.fitted])
    groups = [task.manifest.records[row].group or task.manifest.ids[row] for row in rows.fitted]
    rate = config.false_alarm_rate
    chosen = threshold_for(raw, groups, rate)
    limits = np.full(len(task.manifest), chosen.threshold)
    if not len(rows.tested):
        # An image is judged at a threshold that its own part had no say in.
        others = [np.flatnonzero(fitted_parts != part) for part in range(PARTS)]
        crossed_limits = [threshold_for(raw[kept], [groups[i] for i in kept], rate).threshold for kept in others]
        limits = np.array(crossed_limits)[parts]
    judged = rows.tested if len(rows.tested) else np.arange(len(task.manifest))
    left = np.setdiff1d(judged, rows.fitted)
    by_row |= _score(task, left, [final_scorer] * PARTS if len(rows.tested) else crossed, "scores")
    found = [by_row[row] for row in judged]
    scores = np.full(len(task.manifest), np.nan)
    scores[judged] = [one.raw / limits[row] for row, one in zip(judged, found, strict=True)]
    checked = spread(rows.fitted)
    reference = np.full(len(task.manifest), np.nan)
    reference[checked] = [one.raw for one in _score(task, checked, [final_scorer] * PARTS, "reference").values()]
    return TrainedAnomaly(
        parts=np.where(np.isin(np.arange(len(parts)), rows.tested), 0, 1) if len(rows.tested) else parts,
        scores=scores,
        maps={task.manifest.ids[row]: one.patches / limits[row] for row, one in zip(judged, found, strict=True)},
        pixels=_pixels(task, judged, rows.good, found, limits),
        good=rows.good,
        graph=graph,
        preprocess=preprocess,
        threshold=chosen,
        normal=np.column_stack([raw, np.unique(groups, return_inverse=True)[1]]),
        details=_details(config, backbones, task, rows.fitted, raw),
        licence_notes=" ".join(f"{b.spec.name}: {b.spec.licence}." for b in backbones),
        reference=reference,
        trained_on=rows.fitted,
        tile=config.tile or None,
    )


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows of the manifest: bool ``good`` of each; which are ``fitted`` on, and which are the data's own test part."""

    good: NDArray[np.bool_]
    fitted: NDArray[np.int64]
    tested: NDArray[np.int64]


def _rows(task: Task) -> _Rows:
    records = task.manifest.records
    good = np.array([record.label in task.good_classes for record in records])
    apart = np.array([record.split in ("test", "val") for record in records])
    fitted = np.flatnonzero(good & ~apart)
    groups = {records[row].group for row in fitted}
    if len(fitted) < FEWEST or len(groups) < FEWEST_GROUPS:
        raise DataError(
            f"{task.manifest.source}: expected at least {FEWEST} good images in {FEWEST_GROUPS} independent groups "
            f"to fit on, found {len(fitted)} in {len(groups)} groups. Good are the images of "
            f"{', '.join(task.good_classes) or 'no class'}: name the class with --good, or add images of other pieces."
        )
    parts = set((task.folds[fitted] % PARTS).tolist())
    if len(parts) < PARTS:
        raise DataError(
            f"{task.manifest.source}: expected folds with good images in each of {PARTS} parts, found some in "
            f"{len(parts)} of the {PARTS} parts. Write the split anew with `millscale data split --folds 3`."
        )
    tested = np.flatnonzero(apart)
    return _Rows(good, fitted, tested if (~good[tested]).any() and good[tested].any() else tested[:0])


def _views(task: Task, fitted: NDArray[np.int64], tiling: Tiling | None) -> list[tuple[int, Window | None]]:
    """What is fitted on: rows, each with no window; or with some of its windows, at random where there are many."""
    if tiling is None:
        return [(int(row), None) for row in fitted]
    rng, most = np.random.default_rng(task.seed), max(1, _WINDOWS // len(fitted))
    views: list[tuple[int, Window | None]] = []
    for row in fitted.tolist():
        width, height = read_size(task.manifest.records[row].path)
        windows = tiling.windows((height, width))
        views += [(row, windows[k]) for k in sorted(rng.permutation(len(windows))[:most])]
    return views


def _loader(
    task: Task, views: Sequence[tuple[int, Window | None]], preprocess: Preprocess, tiling: Tiling | None
) -> Callable[[int], Image]:
    # The windows of one image follow each other.
    read = lru_cache(maxsize=_LARGE)(lambda row: read_image(task.manifest.records[row].path))

    @lru_cache(maxsize=_REMEMBERED)
    def load(view: int) -> Image:
        row, window = views[view]
        if tiling is None or window is None:
            return preprocess.apply(read_image(task.manifest.records[row].path))[0]
        return tiling.cut(read(row), window)

    return load


def _ahead(config: AnomalyConfig, network: Network, image: Image, views: int, methods: int, *, drawn: bool) -> str:
    """What the fit will take, from how long one image takes: told before it starts."""
    network.run({"images": image[None]}, ["features"])
    start = time.perf_counter()
    network.run({"images": image[None]}, ["features"])
    one = time.perf_counter() - start
    copies = min(4 * views, COPIES) if drawn else 0
    looked = (3 * views + _DRAWING * copies) * one / (os.cpu_count() or 1)
    seconds = looked + (PARTS + 1) * methods * _FITTING
    megabytes = 4e-6 * config.bank * config.components
    return f"ahead: about {10 * round(seconds / 10 + 0.5)} s; a bank of up to {config.bank} patches, {megabytes:.1f} MB"


def _scorer(graph: bytes, preprocess: Preprocess, config: AnomalyConfig) -> Scorer:
    return Scorer(Network(graph, "anomaly network", threads=1), preprocess, config.tile or None)


def _score(task: Task, rows: NDArray[np.int64], by: Sequence[Scorer], what: str) -> dict[int, Anomaly]:
    """By row, what the scorer of its part says of its image."""

    def one(position: int) -> Anomaly:
        row = int(rows[position])
        scorer = by[int(task.folds[row]) % PARTS]
        return scorer.score(read_image(task.manifest.records[row].path))

    return dict(zip(rows.tolist(), in_parallel(one, len(rows), what, task.progress), strict=True))


def _evidence(
    task: Task,
    backbones: Sequence[Backbone],
    held: Sequence[Sequence[Evidence]],
    parts: NDArray[np.int64],
    load: Callable[[int], Image],
) -> list[NDArray[np.float32]]:
    """Of each view ``(k, h, w)``, what each method says that was not fitted on its part."""
    networks = [Network(evidence_graph(backbones, each), "evidence network", threads=1) for each in held]

    def one(view: int) -> NDArray[np.float32]:
        return np.asarray(networks[parts[view]].run({"images": load(view)[None]}, ["evidence"])[0][0])

    return in_parallel(one, len(parts), "held-out evidence", task.progress)


def _scaled(
    task: Task, rows: NDArray[np.int64], maps: Sequence[NDArray[np.float32]], scales: Sequence[Sequence[Usual]]
) -> dict[int, Anomaly]:
    """By row, what a scorer with this evidence of its whole image, and the scale of its part, would say."""
    networks = [Network(scaled_graph(each), "scaled network", threads=1) for each in scales]
    found = {}
    for row, evidence in zip(rows.tolist(), maps, strict=True):
        network = networks[int(task.folds[row]) % PARTS]
        patches = np.asarray(network.run({"evidence": evidence[None]}, ["map"])[0][0])
        width, height = read_size(task.manifest.records[row].path)
        working = (STEP * patches.shape[0], STEP * patches.shape[1])
        geometry = Geometry(working[1] / width, working[0] / height)
        found[row] = Anomaly(raw_score(patches), patches, geometry, (height, width), working)
    return found


def _pixels(
    task: Task,
    judged: NDArray[np.int64],
    good: NDArray[np.bool_],
    found: Sequence[Anomaly],
    limits: NDArray[np.float64],
) -> PixelCounts | None:
    """The counted pixels of good images and of those that have a mask which shows something; None without such."""
    counts = PixelCounts()
    for done, (row, one) in enumerate(zip(judged, found, strict=True), 1):
        count_pixels(counts, task.manifest.records[row], one.map() / np.float32(limits[row]), good=bool(good[row]))
        if done % 64 == 0 or done == len(judged):
            task.progress("pixels", done, len(judged))
    return counts if counts.regions else None


def count_pixels(counts: PixelCounts, record: ImageRecord, levels: NDArray[np.float32], *, good: bool) -> None:
    """Add the map ``(H, W)`` of a good image, or of a defective one that has a mask which shows something."""
    mask = np.zeros(levels.shape, np.bool_)
    if not good:
        mask = foreground(read_mask(record.mask)) if record.mask else mask
        if mask.shape != levels.shape or not mask.any():
            return
    counts.add(levels, mask, group=record.group)


def _details(
    config: AnomalyConfig,
    backbones: Sequence[Backbone],
    task: Task,
    fitted: NDArray[np.int64],
    raw: NDArray[np.float64],
) -> dict[str, Any]:
    middle = np.median(raw)
    deviations = (raw - middle) / max(1.4826 * float(np.median(np.abs(raw - middle))), 1e-9)
    worst = [int(i) for i in np.argsort(-deviations) if deviations[i] >= _SUSPECT][:_SUSPECTS]
    return {
        "recipe": "anomaly",
        "config": asdict(config),
        "backbones": [{"name": b.spec.name, "sha256": b.digest} for b in backbones],
        "suspects": [
            {"image": task.manifest.ids[fitted[i]], "deviations": round(float(deviations[i]), 1)} for i in worst
        ],
    }
