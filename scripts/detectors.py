"""Train the detectors that the tables report, one at a time; needs MILLSCALE_DATA/neu-det and MILLSCALE_WEIGHTS.

    python scripts/detectors.py kaggle yolo_n           trained and judged on the published 1440/360 split
    python scripts/detectors.py kaggle yolo_n --seed 1  the same from another seed, a further member of an ensemble
    python scripts/detectors.py views yolo_n            that model again, four and eight views of each image fused
    python scripts/detectors.py views yolo_n+yolo_s     the boxes of both, likewise
    python scripts/detectors.py fuse yolo_n-8views+ssd  committed boxes of the published split, brought to one scale and
                                                        fused as `ensemble` does; no network is needed
    python scripts/detectors.py inner yolo_n            a group-clean part of its training images judged: choose here
    python scripts/detectors.py fold0 yolo_n            trained without fold 0 of the group-clean five, judged on it;
                                                        with fold1 to fold4, the cross-validation
    python scripts/detectors.py fold0 yolo_n --set views=8         the same training, judged in eight views
    python scripts/detectors.py leaky yolo_n --seed 0   as many training images, with mates of the test images
    python scripts/detectors.py clean yolo_n --seed 0   and without; with 1 and 2 for --seed, what the leak is worth
    python scripts/detectors.py consensus yolo_n        as clean, but trained on merged annotations
    python scripts/detectors.py few yolo_n --seed 0     a fifth of the images annotated, judged on fold 0

The tables hold leaky, clean and consensus with ``--set epochs=30 --set size=224 --set softness=0``.

Each run keeps its checkpoints in ``runs/detectors`` and goes on from them. What it leaves for ``python -m benchmarks
detection`` is small: the boxes found, image by image, and the card, in ``benchmarks/predictions``.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

import millscale as ms
from millscale.data.audit.consensus import consensus
from millscale.data.leak_sets import leak_sets
from millscale.data.leaks import Parts, read_parts
from millscale.data.manifest import Manifest
from millscale.data.split import Split, deal, load_split, named_split, split
from millscale.metrics.detection_results import read_coco_results, write_coco_results
from millscale.metrics.detections import DetectionTable
from millscale.pipeline.audited import audited
from millscale.pipeline.config import TrainConfig
from millscale.pipeline.ensemble import ensemble
from millscale.pipeline.evaluate import evaluate
from millscale.pipeline.run import write_json
from millscale.pipeline.tasks.detect import measured, on_card
from millscale.pipeline.train import train
from millscale.runtime.bundle import open_bundle
from millscale.runtime.card import Fusion
from millscale.runtime.fusion import AGREE, common_scales
from millscale.runtime.locate import fused

ROOT = Path(__file__).parent.parent
RUNS, PREDICTIONS = ROOT / "runs/detectors", ROOT / "benchmarks/predictions"
NANO = ROOT / "benchmarks/bundles/neu-det-nano-kaggle1440.millscale"
NOTES = (
    "Trained by the millscale project on NEU-DET (Song & Yan 2013), whose owners state no licence; no NEU image is "
    "inside. Use on NEU-like hot-rolled strip; measure on your own images before you trust it."
)
FOLDS = tuple(f"fold{k}" for k in range(5))
LEAK_TEST, FEW = 240, 48
"""Test images of the leak's runs, and annotated images of each class where they are few."""
VIEWS: tuple[Literal[4], Literal[8]] = (4, 8)
COMMITTED = "yolo_n--kaggle1440"
"""The run whose bundle is kept, so that anyone can score it again; it is also the packaged detector."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    splits = ("kaggle", "views", "fuse", "inner", *FOLDS, "leaky", "clean", "consensus", "few")
    parser.add_argument("split", choices=splits)
    parser.add_argument("detector")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], dest="options")
    given = parser.parse_args()
    data = Path(os.environ.get("MILLSCALE_DATA", "")) / "neu-det"
    if not data.is_dir():
        raise SystemExit("Set MILLSCALE_DATA to the folder that holds neu-det.")
    images = ms.read(data)
    if given.split == "views":
        test = images.select(_kaggle(data, images)["val"])
        for views in VIEWS:
            _judge_again(given.detector.split("+"), test, views)
        return
    if given.split == "fuse":
        _fuse(given.detector, images.with_groups(audited(images, _tell).groups))
        return
    options: dict[str, Any] = dict(option.split("=", 1) for option in given.options)
    options |= {"detector": given.detector, "final": "reuse", "held_out_folds": 0}
    config = TrainConfig(str(data), task="detect", options=options, seed=given.seed, licence_notes=NOTES)
    name = "kaggle1440" if given.split == "kaggle" else f"{given.split}-seed{given.seed}"
    file = _split(given.split, name, data, images, given.seed)
    config = replace(config, split=str(file))
    if given.split == "consensus":
        images = _merged(images, load_split(file).train)
    if given.split == "few":
        images = _bared(images, load_split(file))
        config = replace(config, recipe="detect_semi")
    own = f"{given.detector}-seed{given.seed}" if given.split == "kaggle" and given.seed else given.detector
    model = f"{own}-{options['views']}views" if "views" in options else own
    folder = RUNS / f"{own}--{name}"
    if given.split in FOLDS:
        _run(images, config, folder, f"{model}--folds-seed{given.seed}", FOLDS.index(given.split))
    else:
        _run(images, config, folder, f"{model}--{name}")


def _split(kind: str, name: str, data: Path, images: Manifest, seed: int) -> Path:
    """The file of the published split, or of one that leaks or does not."""
    groups = audited(images, _tell).groups
    if kind == "kaggle":
        parts = _kaggle(data, images)
    elif kind == "inner":
        training = images.select(_kaggle(data, images)["train"])
        dealt = deal(training, groups, (0.8, 0.2), np.random.default_rng(7))
        parts = {"train": sorted(dealt[0]), "test": sorted(dealt[1])}
    elif kind in FOLDS:
        test = _folds(images, groups)[FOLDS.index(kind)]
        parts = {"train": sorted({record.id for record in images.records} - {*test}), "test": test}
    elif kind == "few":
        parts = _few(images, groups, seed)
    else:
        found = leak_sets(images.with_groups(groups), LEAK_TEST, seed)
        parts = {"train": found.leaky if kind == "leaky" else found.clean, "test": found.test}
    RUNS.mkdir(parents=True, exist_ok=True)
    file = RUNS / f"{name}.json"
    named_split(images, parts, groups).save(file)
    return file


def _folds(images: Manifest, groups: Mapping[str, str]) -> Sequence[Sequence[str]]:
    """The five that the whole is cross-validated on, whichever seed a training has."""
    return split(images, groups=groups, seed=0).folds


def _few(images: Manifest, groups: Mapping[str, str], seed: int) -> Parts:
    """A fold of those that the whole is cross-validated on, and a few images of each class from the other four."""
    test = _folds(images, groups)[seed % 5]
    rng, away = np.random.default_rng(seed), set(test)
    left = [[r.id for r in images.records if r.label == name and r.id not in away] for name in images.classes]
    return {"train": [str(name) for ids in left for name in rng.permutation(ids)[:FEW]], "test": test}


def _bared(images: Manifest, known: Split) -> Manifest:
    """The images without the boxes of those that have no part."""
    kept = {*known.train, *known.test}
    records = (record if record.id in kept else replace(record, boxes=None) for record in images.records)
    return replace(images, records=tuple(records))


def _merged(images: Manifest, training: Sequence[str]) -> Manifest:
    """The images with the boxes of the training part merged over overlapping crops, those of the test part as drawn."""
    boxes = {record.id: record.boxes for record in consensus(images, audited(images, _tell)).records}
    chosen = set(training)
    records = (replace(r, boxes=boxes[r.id]) if r.id in chosen else r for r in images.records)
    return replace(images, records=tuple(records))


def _kaggle(data: Path, images: Manifest) -> Parts:
    lists = {part: data / f"splits/kaggle1440-360_{part}.txt" for part in ("train", "val")}
    return cast(Parts, read_parts(lists, images))


def _trained(name: str) -> Path:
    return NANO if name == COMMITTED else RUNS / name / f"{name}.millscale"


def _judge_again(detectors: list[str], test: Manifest, views: Literal[4, 8]) -> None:
    """Trained detectors, alone or joined; each view costs the operations of an image. No network is trained."""
    paths = [_trained(f"{detector}--kaggle1440") for detector in detectors]
    name = f"{'+'.join(detectors)}-{views}views--kaggle1440"
    target = RUNS / name
    bundle = ensemble(paths, name, views=views)
    found = evaluate(bundle, test, target, progress=_tell)
    assert isinstance(found.table, DetectionTable)
    shutil.copyfile(target / "predictions.json.gz", PREDICTIONS / f"{name}.json.gz")
    networks = [open_bundle(path).card.provenance["network"] for path in paths]
    network = _together(networks, views)
    # As `ensemble --data` would choose and judge thresholds, without a second look at each image.
    card = bundle.card.model_dump(mode="json") | {"metrics": on_card(measured(found.table, seed=0))}
    card["provenance"] |= {"network": network}
    write_json(PREDICTIONS / f"{name}.card.json", card)
    print(f"{name}: mAP50 {found.metrics.map50:.1%}, mAP50-95 {found.metrics.map50_95:.1%}")


def _fuse(members: str, images: Manifest) -> None:
    """The committed boxes of several detectors as one answer; scales for an image come from other groups' images."""
    paths = [PREDICTIONS / f"{member}--kaggle1440.json.gz" for member in members.split("+")]
    first, *others = (read_coco_results(path, images) for path in paths)
    assert all(table.classes == first.classes for table in others)
    rows = [dict(zip(table.ids, table.found, strict=True)) for table in (first, *others)]
    groups = dict(zip(first.ids, first.groups, strict=True))
    answer = {}
    for fold in split(images.select(first.ids), groups=groups, seed=0).folds:
        away = groups.keys() - {*fold}
        scales = common_scales([np.concatenate([found[name].score for name in away]) for found in rows])
        fusion = Fusion(weights=(1.0,) * len(rows), scales=scales, iou=AGREE, thresholds={})
        answer |= {name: fused([found[name] for found in rows], fusion) for name in fold}
    table = replace(first, found=tuple(answer[name] for name in first.ids))
    name = f"{members}--kaggle1440"
    write_coco_results(PREDICTIONS / f"{name}.json.gz", table)
    network = _together([_network(path) for path in paths])
    metrics = measured(table, seed=0)
    card = {"name": name, "provenance": {"network": network}, "metrics": on_card(metrics)}
    write_json(PREDICTIONS / f"{name}.card.json", card)
    print(f"{name}: mAP50 {metrics.map50:.1%}, mAP50-95 {metrics.map50_95:.1%}")


def _together(networks: Sequence[Mapping[str, float]], views: int = 1) -> dict[str, float]:
    """The size of several networks, and the operations of all on so many views of an image."""
    return {
        "parameters": sum(one["parameters"] for one in networks),
        "gflops": views * sum(one["gflops"] for one in networks),
    }


def _network(path: Path) -> dict[str, float]:
    card = json.loads((path.parent / path.name.replace(".json.gz", ".card.json")).read_text(encoding="utf-8"))
    return cast(dict[str, float], card["provenance"]["network"])


def _run(images: Manifest, config: TrainConfig, folder: Path, name: str, fold: int | None = None) -> None:
    """Train, and keep the boxes found and the card; those of a fold join the other folds of the same name."""
    run = train(images, replace(config, name=name), folder, progress=_tell)
    PREDICTIONS.mkdir(parents=True, exist_ok=True)
    kept = PREDICTIONS / f"{name}.json.gz"
    card = run.bundle.card.model_dump(mode="json")
    card["provenance"]["network"]["gflops"] *= card["parts"][0]["detection"]["views"]
    if fold is None:
        shutil.copyfile(run.folder / "predictions.json.gz", kept)
    else:
        grouped = images.with_groups(audited(images, _tell).groups)
        table = _with_fold(kept, grouped, fold, read_coco_results(run.folder / "predictions.json.gz", grouped))
        write_coco_results(kept, table)
        card["metrics"] = on_card(measured(table, seed=0))
    write_json(PREDICTIONS / f"{name}.card.json", card)
    if name == COMMITTED:
        NANO.parent.mkdir(exist_ok=True)
        run.bundle.save(NANO)
    print(f"{name}: mAP50 {run.metrics.map50:.1%}, mAP50-95 {run.metrics.map50_95:.1%}")


def _with_fold(path: Path, images: Manifest, fold: int, found: DetectionTable) -> DetectionTable:
    """What was found in a fold beside what ``path``, if it is there, holds of the others, in the order of folds."""
    parts = {fold: replace(found, fold=np.full(len(found), fold, np.int64))}
    if path.is_file():
        others = read_coco_results(path, images)
        assert others.fold is not None
        parts = {int(k): others.select(others.fold == k) for k in np.unique(others.fold)} | parts
    tables = [parts[k] for k in sorted(parts)]
    columns = ("ids", "paths", "sizes", "truth", "found", "groups")
    joined: dict[str, Any] = {name: tuple(one for table in tables for one in getattr(table, name)) for name in columns}
    return replace(found, **joined, fold=np.concatenate([table.fold for table in tables if table.fold is not None]))


_last = [""]


def _tell(what: str, done: int, total: int) -> None:
    line = f"{what}: {100 * done // max(total, 1)} %"
    if line != _last[0]:
        _last[0] = line
        print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
