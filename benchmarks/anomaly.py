"""Anomalies of magnetic tiles, learnt from good ones alone: how good, how fast, and beside Anomalib's PatchCore."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import millscale as ms
from benchmarks.table import Table, data_folder
from millscale.core import plugins
from millscale.core.paths import cache_dir
from millscale.data.manifest import ImageRecord, Manifest
from millscale.data.split import split
from millscale.features.backbone import open_backbones
from millscale.features.patch_graph import patch_graph
from millscale.learn.anomalies import METHODS, AnomalyConfig, train_anomaly
from millscale.learn.recipe import Task
from millscale.metrics.openset import auroc
from millscale.pipeline.audited import audited
from millscale.pipeline.config import TrainConfig
from millscale.pipeline.summary import silent
from millscale.pipeline.tasks import anomaly as flow
from millscale.pipeline.train import train
from millscale.runtime.bundle import Bundle
from millscale.runtime.inspector import Inspector

DATA, GOOD = "magnetic-tile", "MT_Free"
DEFAULT = AnomalyConfig()
REPEATS, THREADS = 5, 2
FITTED = 400
PEER_FITTED, PEER_GOOD, PEER_DEFECTIVE = 200, 200, 200
TIMED = 4
"""Of the judged images, one in so many is judged again for the time it takes."""
PEER = "anomalib==2.7.0"
PEER_WEIGHTS = "resnet18_tv_upto_layer3.safetensors"


def main() -> None:
    images = _images()
    _tiles(images)
    _speed(images)
    if os.environ.get("MILLSCALE_WEIGHTS"):
        _peer(images)
    else:
        print("Not compared with Anomalib: set MILLSCALE_WEIGHTS to the folder that holds ResNet18.", file=sys.stderr)


def _images() -> Manifest:
    images = ms.read(data_folder(DATA))
    return images.with_groups(audited(images, silent).groups)


def _tiles(images: Manifest) -> None:
    """Every image by a model that saw nothing of its tile, of each method."""
    kinds = [name for name in images.classes if name != GOOD]
    groups = len({record.group for record in images.records})
    table = Table(
        "anomaly",
        "Defects of magnetic tiles, by models fitted on good tiles alone and group-clean",
        [
            *("method", "AUROC (95 %)", *kinds, "AP", "FPR95", "pixel AUROC", "AUPRO"),
            *("escape (95 %)", "overkill (95 %)", "overkill promised", "bound of the promise"),
        ],
        notes=(
            f"{len(images)} images, {images.class_counts[GOOD]} of them good, in {groups} groups that share surface.",
            "Every image is judged by a model that saw none of its group; intervals by bootstrap over groups.",
            "In bold the default. The columns of kinds are AUROC of the images of one kind against all good ones.",
            f"AP: average precision; {1 - images.class_counts[GOOD] / len(images):.0%} of the images are defective.",
            "FPR95: good images rejected where 95 % of the defective are. AUPRO: up to a pixel rate of .3.",
            f"Escape, overkill: at the limit for {DEFAULT.false_alarm_rate:.0%} false alarms, set on other groups.",
            "The promise and its 95 % bound are the final model's; they weigh groups alike, measured overkill images.",
        ),
    )
    single = [name for name in plugins.names(METHODS) if name != DEFAULT.method]
    for method in (DEFAULT.method, *single):
        _note(method)
        with tempfile.TemporaryDirectory() as folder:
            config = TrainConfig(images.source, task="anomaly", options={"method": method}, good_classes=(GOOD,))
            run = train(images, config, folder, progress=_told)
        found, promise = run.metrics.to_json(), run.bundle.card.scorer.alarms
        table.add(
            f"**{method}**" if method == DEFAULT.method else method,
            _with_interval(found, "auroc", ".3f"),
            *(f"{found['auroc_by_kind'][kind]:.3f}" for kind in kinds),
            f"{found['average_precision']:.3f}",
            f"{found['fpr95']:.1%}",
            f"{found['pixel_auroc']:.3f}",
            _with_interval(found, "aupro", ".3f"),
            _with_interval(found, "escape_rate", ".1%"),
            _with_interval(found, "overkill_rate", ".1%"),
            f"{promise.expected_rate:.1%}",
            f"{promise.upper_bound:.1%}",
        )
        table.save()


def _speed(images: Manifest) -> None:
    """One fit, its bundle, and how fast that inspects files."""
    before = _load()
    good = [record.id for record in images.records if record.label == GOOD]
    chosen = images.select(np.random.default_rng(0).permutation(good)[:FITTED].tolist())
    table = Table(
        "anomaly_speed",
        "Fitting an anomaly scorer, and inspecting with it",
        ["what", "measured", "asked"],
        notes=(
            f"{FITTED} good magnetic tiles at {DEFAULT.size} pixels, all defaults; the audit is not part of the fit.",
            f"Inspection: these files on {THREADS} threads; decoding, map and verdict included.",
        ),
    )
    bundle, seconds, learnt = _fitted(chosen, DEFAULT)
    with tempfile.TemporaryDirectory() as folder:
        size = bundle.save(Path(folder) / "tiles.millscale").stat().st_size
    table.add("fit", _fit(seconds), "≤ 120 s")
    table.add("bundle", f"{size / 1e6:.1f} MB", "")
    table.add("what was learnt in it: banks, weights and scales", f"{learnt / 1e6:.1f} MB", "≤ 10 MB")
    table.add("inspection", _rate([_inspected(bundle, chosen.records)[1] for _ in range(REPEATS)]), "≥ 25/s")
    _save_with_load(table, before)


def _peer(images: Manifest) -> None:
    """Ours and Anomalib's PatchCore on the very same files, one after the other."""
    before = _load()
    fitted, judged = _lists(images)
    bad = np.array([record.label != GOOD for record in judged])
    ours = [DEFAULT, replace(DEFAULT, backbone="resnet18"), replace(DEFAULT, backbone="resnet18", method="patchcore")]
    table = Table(
        "anomaly_peer",
        "The same magnetic tiles, the same ResNet18: millscale and Anomalib's PatchCore",
        ["what", "AUROC", "fit", "inspection"],
        notes=(
            f"Fitted on {len(fitted)} good images; judged {(~bad).sum()} good, {bad.sum()} defective, of other groups.",
            "Images of 256 pixels; ours keeps proportions. Inspection from files to scores and maps.",
            "Our fit is of four models: three set the limit, without other images.",
            f"{PEER}: its PatchCore on the processor, layers 2 and 3, coreset 1 %, 9 neighbours.",
            f"All on {THREADS} threads.",
        ),
    )
    for config in ours:
        _note(f"{config.method} {config.backbone}")
        bundle, seconds, _ = _fitted(fitted, config)
        area = _area(_inspected(bundle, judged)[0], bad)
        passes = [_inspected(bundle, judged[::TIMED])[1] for _ in range(REPEATS)]
        table.add(f"millscale, {config.method}, {config.backbone}", area, _fit(seconds), _rate(passes))
    _note(PEER)
    found = _anomalib([r.path for r in fitted.records], [r.path for r in judged])
    for size, passes in found["passes"].items():
        name = f"Anomalib's PatchCore, resnet18, batches of {size}"
        table.add(name, _area(found["scores"], bad), _fit(found["fit"]), _rate(passes))
    _save_with_load(table, before)


def _lists(images: Manifest) -> tuple[Manifest, list[ImageRecord]]:
    """Good images to fit on, and the images that are judged, none of them of a tile that was fitted on."""
    rng = np.random.default_rng(0)
    groups = rng.permutation(sorted({str(record.group) for record in images.records})).tolist()
    half = set(groups[: len(groups) // 2])
    ids = {
        (good, seen): rng.permutation(
            [r.id for r in images.records if (r.label == GOOD) == good and (r.group in half) == seen]
        ).tolist()
        for good in (True, False)
        for seen in (True, False)
    }
    judged = ids[True, False][:PEER_GOOD] + ids[False, False][:PEER_DEFECTIVE]
    return images.select(ids[True, True][:PEER_FITTED]), list(images.select(judged).records)


def _fitted(images: Manifest, config: AnomalyConfig) -> tuple[Bundle, tuple[float, float], int]:
    """The bundle fitted on good images, seconds of the fit by wall and processor, and the bytes of what was learnt."""
    parts = split(images, folds=5, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        task = Task(images, parts.fold_of(images.ids), 0, Path(folder), _told, good_classes=(GOOD,))
        clock = _Clock()
        trained = train_anomaly(task, config)
        seconds = clock.read()
    metrics = flow.measured(flow.judged(task, trained), 0)
    settings = TrainConfig(images.source, task="anomaly", good_classes=(GOOD,))
    bundle = flow.bundle_of(task, settings, trained, metrics, "")
    return bundle, seconds, len(trained.graph) - len(patch_graph(open_backbones(config.backbone)))


def _inspected(bundle: Bundle, records: Sequence[ImageRecord]) -> tuple[list[float], tuple[float, float]]:
    """Scores, and the seconds of one image by wall and by processor."""
    inspector = Inspector(bundle)
    clock = _Clock()
    found = list(inspector.inspect_files([record.path for record in records], workers=THREADS))
    wall, busy = clock.read()
    scores = [one.prediction.score for one in found if one.prediction is not None]
    return scores, (wall / len(found), busy / len(found))


def _anomalib(fitted: Sequence[Path], judged: Sequence[Path]) -> dict[str, Any]:
    """What the peer's script measures in an environment of its own, which is gigabytes and is kept in the cache."""
    place = cache_dir("peers") / PEER
    python = place / "bin/python"
    if not python.is_file():
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(place)], check=True)
        subprocess.run([*uv, "pip", "install", "--quiet", "--python", str(python), PEER], check=True)
    order = {
        "fitted": [str(path) for path in fitted],
        "judged": [str(path) for path in judged],
        "timed": [str(path) for path in judged[::TIMED]],
        "weights": str(Path(os.environ["MILLSCALE_WEIGHTS"]) / PEER_WEIGHTS),
        "threads": THREADS,
        "repeats": REPEATS,
    }
    script = Path(__file__).parent / "anomalib_peer.py"
    # Beside this package's own sources, the peer's environment would be none of its own.
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "OMP_NUM_THREADS")}
    done = subprocess.run(
        [python, "-P", script], input=json.dumps(order), env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


class _Clock:
    """Wall and processor time from now on: the second tells more where other processes run beside."""

    def __init__(self) -> None:
        self._wall, self._busy = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self._wall, time.process_time() - self._busy


def _fit(seconds: Sequence[float]) -> str:
    return f"{seconds[0]:.0f} s ({seconds[1]:.0f} s)"


def _rate(passes: Sequence[Sequence[float]]) -> str:
    wall, busy = (statistics.median(each[k] for each in passes) for k in (0, 1))
    return f"{1 / wall:.1f}/s ({1000 * busy:.0f} ms)"


def _area(scores: Sequence[float], bad: NDArray[np.bool_]) -> str:
    values = np.array(scores)
    return f"{auroc(values[~bad], values[bad]):.3f}"


def _with_interval(found: dict[str, Any], key: str, form: str) -> str:
    low, high = found["intervals"][key]
    return f"{found[key]:{form}} ({low:{form}}–{high:{form}})"


def _load() -> float:
    return os.getloadavg()[1]


def _save_with_load(table: Table, before: float) -> None:
    table.notes = (
        *table.notes,
        f"In brackets the processor's time, of all threads: of the fit, and of one image. Medians of {REPEATS}.",
        f"Others ran beside it: a load of {before:.1f} before, {_load():.1f} after, on {os.cpu_count()} cores.",
        "Rows were measured one after the other: compare the times in brackets.",
    )
    table.save()


def _told(what: str, done: int, total: int) -> None:
    if done == total:
        _note(f"  {what}: {done}")


def _note(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
