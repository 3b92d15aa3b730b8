"""Locating: what the committed boxes score, what the leak is worth, and how fast and alike the runtimes are.

Nothing is trained here: ``scripts/detectors.py`` does that and leaves the boxes found in ``benchmarks/predictions``.
"""

import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import millscale as ms
from benchmarks.table import Table, data_folder
from millscale.core.types import Boxes, Image
from millscale.data.audit.audit import Audit
from millscale.data.leaks import read_parts
from millscale.data.manifest import ImageRecord, Manifest
from millscale.imaging.decode import read_image
from millscale.imaging.tiling import windows_of
from millscale.metrics.agreement import agreement
from millscale.metrics.detection import DetectionMetrics
from millscale.metrics.detection_results import read_coco_results
from millscale.metrics.detection_thresholds import choose_thresholds, crossfit_thresholds
from millscale.metrics.detections import DetectionTable
from millscale.pipeline.audited import audited
from millscale.pipeline.ensemble import ensemble
from millscale.pipeline.export import export
from millscale.pipeline.summary import silent
from millscale.pipeline.tasks.detect import PARITY_PIXELS, PARITY_SCORE, found_again
from millscale.runtime.bundle import open_bundle
from millscale.runtime.inspector import Inspector

HERE = Path(__file__).parent
PREDICTIONS, BUNDLES = HERE / "predictions", HERE / "bundles"
NANO = BUNDLES / "neu-det-nano-kaggle1440.millscale"
LEAK_PARTS = ("leaky", "clean")
PAIRED_CALLS = 200
PLACES = tuple((200 * column, 200 * row) for row in range(3) for column in range(3))
"""Left and top of the nine images of a sheet."""


def main() -> None:
    data = data_folder("neu-det")
    images = ms.read(data)
    audit = audited(images, silent)
    images = images.with_groups(audit.groups)
    _agreement(images, audit)
    _accuracy(images)
    _folds(images)
    _leak(images)
    if NANO.is_file():
        lists = {part: data / f"splits/kaggle1440-360_{part}.txt" for part in ("train", "val")}
        test = images.select(read_parts(lists, images)["val"])
        _runtimes(test)
        _windows(test)


def _agreement(images: Manifest, audit: Audit) -> None:
    """What the labels themselves allow: the boxes of two crops on the pixels that both show."""
    table = Table(
        "detection_agreement",
        "Two annotations of the same pixels: how well the boxes of overlapping NEU-DET images agree",
        ["class", "boxes", "IoU ≥ .5 (95 %)", "IoU ≥ .75", "mean IoU", "no partner", "mAP50 of one on the other"],
        notes=(
            "Only boxes that lie mostly on the shared pixels, cut to them; intervals by bootstrap over groups.",
            "mAP50 of one annotation scored on the other: from all boxes of one score to the right ones first.",
        ),
    )
    found = agreement(images, audit)
    for name, one in (*found.classes.items(), ("mean", found.mean)):
        low, high = one.intervals["iou50"]
        table.add(
            name,
            one.boxes,
            f"{100 * one.iou50:.1f} ({100 * low:.1f}–{100 * high:.1f})",
            f"{100 * one.iou75:.1f}",
            f"{one.mean_iou:.2f}",
            f"{100 * one.missing:.1f}",
            f"{100 * one.ap50:.1f} to {100 * one.ap50_ranked:.1f}",
        )
    table.save()


def _accuracy(images: Manifest) -> None:
    """Every model's committed boxes, scored again."""
    classes = images.classes
    table = Table(
        "detection",
        "Locating the defects of NEU-DET: committed boxes, scored again",
        ["model", "split", "parameters, M", "GFLOPs", "images", "mAP50 (95 %)", "mAP50-95 (95 %)", *classes],
        notes=(
            "GFLOPs: two a multiplication with its addition, for one image at the working size, all views together.",
            "Intervals: percentile bootstrap over groups of images that share pixels. The last columns are AP50.",
            "kaggle1440: the published 1440/360 split, a tenth of whose test images overlap training ones.",
            "folds: group-clean cross-validation, the images of all five folds together; fold by fold: see its table.",
            "leaky, clean: see the table of the leak.",
            "consensus: as clean, trained on the merged boxes of overlapping crops, judged on the boxes as drawn.",
            "folds at one look, leaky, clean, consensus, faster_rcnn, ssd: from before boxes that agree were averaged.",
            "+: fused; those with faster_rcnn from committed boxes, their scores on a scale that other groups gave.",
            "That scale, and which detectors to fuse by it, were found on these very images: somewhat too good.",
            "faster_rcnn, ssd: 60 epochs. yolo_w: 40, on from yolo_n, on two cores. Others of kaggle1440, folds: 120.",
            "yolo_n-seed1: yolo_n from another seed.",
        ),
    )
    for path in sorted(PREDICTIONS.glob("*.json.gz")):
        model, _, split = path.name.removesuffix(".json.gz").partition("--")
        card, found = _card(path), _found(path, images)
        network, metrics = card["provenance"].get("network", {}), _metrics(found)
        table.add(
            model,
            split,
            _number(network.get("parameters"), 1e-6),
            _number(network.get("gflops"), 1.0),
            metrics.images,
            _share(metrics, "map50"),
            _share(metrics, "map50_95"),
            *(f"{100 * ap:.1f}" for ap in metrics.ap50),
        )
    table.save()


def _folds(images: Manifest) -> None:
    """Group-clean cross-validation, fold by fold."""
    table = Table(
        "detection_folds",
        "Group-clean 5-fold cross-validation of the detectors on NEU-DET",
        ["model", "mAP50", "mAP50-95", "mAP50 of each fold", "mAP50-95 of each fold"],
        notes=(
            "Mean ± deviation over the folds; every fold by a model that saw no image of its groups.",
            "At one look: judged before boxes that agree were averaged. In 8 views: trained again, on two cores.",
        ),
    )
    for path in sorted(PREDICTIONS.glob("*--folds-*.json.gz")):
        whole = read_coco_results(path, images)
        assert whole.fold is not None
        metrics = [_metrics(whole.select(whole.fold == fold)) for fold in np.unique(whole.fold)]
        parts = [[getattr(one, key) for one in metrics] for key in ("map50", "map50_95")]
        each = [", ".join(f"{100 * value:.1f}" for value in part) for part in parts]
        table.add(path.name.partition("--")[0], *map(_spread, parts), *each)
    table.save()


def _leak(images: Manifest) -> None:
    """The same test images after training with and without their overlapping mates."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(PREDICTIONS.glob("*--*-seed*.json.gz")):
        model, _, split = path.name.removesuffix(".json.gz").partition("--")
        part = split.partition("-seed")[0]
        if part in LEAK_PARTS:
            metrics = _metrics(_found(path, images))
            found[model][part].append((metrics.map50, metrics.map50_95))
    if not found:
        return
    table = Table(
        "detection_leak",
        "What the leak is worth: the same test images, training sets of equal size with and without their mates",
        ["model", "seeds", *(f"{what} {part}" for what in ("mAP50", "mAP50-95") for part in (*LEAK_PARTS, "gain"))],
        notes=(
            "leaky: every test image overlaps a training image; clean: no image of a test image's group is trained on.",
            "Mean ± deviation over the seeds, each of which draws other images; gain: of the pairs.",
            "30 epochs at 224 pixels; 240 test images. Intervals of each run: the table of all models.",
            "Judged before boxes that agree were averaged.",
        ),
    )
    for model, parts in found.items():
        cells = []
        for k in (0, 1):
            leaky, clean = ([pair[k] for pair in parts[part]] for part in LEAK_PARTS)
            cells += [leaky, clean, [a - b for a, b in zip(leaky, clean, strict=True)]]
        table.add(model, len(cells[0]), *map(_spread, cells))
    table.save()


def _runtimes(images: Manifest) -> None:
    """The committed nano: time of one image, and what the runtimes answer on the whole test part."""
    test = [record.path for record in images.records]
    bundle = open_bundle(NANO)
    table = Table("detection_speed", "The packaged nano: time and parity", ["what", "measured", "wanted"])
    for backend in ("onnxruntime", "openvino"):
        inspector = Inspector.open(NANO, backend=backend, threads=2)
        times = [_milliseconds(inspector, test[i % len(test)]) for i in range(PAIRED_CALLS)]
        wanted = "≤ 12 ms, aim 6 ms" if backend == "onnxruntime" else ""
        table.add(f"one image, file to boxes, {backend}, two cores, p50", f"{np.median(times):.1f} ms", wanted)
    table.add("boxes that torch found where it was trained, found again", _same(images), "99 %")
    for one in export(bundle, HERE.parent / "runs/exported", "openvino", test):
        what = f"largest difference of {one.output}, ONNX Runtime / OpenVINO, {len(test)} images"
        table.add(what, f"{one.largest:.1e}", f"≤ {one.allowed:g}")
    table.add("size of the bundle", f"{NANO.stat().st_size / 2**20:.2f} MB", "≤ 4 MB")
    table.save()


def _windows(images: Manifest) -> None:
    """The committed nano on large pictures, whole and in windows, beside the images they are made of."""
    table = Table(
        "detection_windows",
        "Large pictures in windows: the packaged nano on sheets of 600 x 600, each of nine NEU-DET test images",
        ["what is looked at", "mAP50", "mAP50-95", "looks", "time of a sheet, p50"],
        notes=(
            "The 360 test images of the published split, dealt at random to 40 sheets; the nano is not trained again.",
            "Windows know nothing of the seams, cut images anywhere, and share a quarter of their side or more.",
            "One core.",
        ),
    )
    records = [images.records[row] for row in np.random.default_rng(0).permutation(len(images))]
    sheets = [_sheet(records[start : start + 9]) for start in range(0, len(records), 9)]
    for what, tile in (
        ("the nine images, one by one", -1),
        ("the whole sheet", 0),
        *((f"windows of {n}", n) for n in (200, 256)),
    ):
        inspector = Inspector(ensemble([NANO], "windows", tile=max(tile, 0)))
        found, times = [], []
        for sheet, _ in sheets:
            start = time.perf_counter()
            found.append(_one_by_one(inspector, sheet) if tile < 0 else inspector.inspect(sheet).boxes)
            times.append(1000 * (time.perf_counter() - start))
        names = tuple(f"sheet {n}" for n in range(len(sheets)))
        metrics = _metrics(
            DetectionTable(
                ids=names,
                paths=tuple(map(Path, names)),
                sizes=tuple(sheet.shape for sheet, _ in sheets),
                classes=images.classes,
                truth=tuple(truth for _, truth in sheets),
                found=tuple(found),
            )
        )
        runs = 9 if tile < 0 else len(windows_of((600, 600), tile or 600))
        table.add(
            what, f"{100 * metrics.map50:.1f}", f"{100 * metrics.map50_95:.1f}", runs, f"{np.median(times):.0f} ms"
        )
    table.save()


def _sheet(records: Sequence[ImageRecord]) -> tuple[Image, Boxes]:
    """Nine images of 200 x 200 as one, with their boxes."""
    pixels = [read_image(record.path) for record in records]
    rows = [np.concatenate(pixels[start : start + 3], 1) for start in range(0, 9, 3)]
    return np.concatenate(rows), _placed([record.boxes for record in records])


def _placed(parts: Sequence[Boxes]) -> Boxes:
    return Boxes(
        np.concatenate([boxes.xyxy + np.array([*place, *place]) for boxes, place in zip(parts, PLACES, strict=True)]),
        np.concatenate([boxes.class_id for boxes in parts]),
        np.concatenate([boxes.score for boxes in parts]),
        np.concatenate([boxes.difficult for boxes in parts]),
    )


def _one_by_one(inspector: Inspector, sheet: Image) -> Boxes:
    return _placed([inspector.inspect(sheet[y : y + 200, x : x + 200]).boxes for x, y in PLACES])


def _same(images: Manifest) -> str:
    """Of the boxes that torch found where the nano was trained and that are not weak, those found here.

    The nano was trained before boxes that agree were averaged, so that they are left as they are here too.
    """
    trained = read_coco_results(PREDICTIONS / "torch/yolo_n--kaggle1440.json.gz", images)
    bundle = open_bundle(NANO)
    (part,) = bundle.card.parts
    alone = replace(bundle, card=bundle.card.model_copy(update={"parts": (part.with_detection(agree=None),)}))
    expected = same = 0
    for there, here in zip(trained.found, Inspector(alone).inspect_files(trained.paths), strict=True):
        assert here.prediction is not None
        assert here.prediction.boxes is not None
        again = found_again(there, here.prediction.boxes)
        expected, same = expected + len(again), same + int(again.sum())
    return f"{same} of {expected}, within {PARITY_PIXELS} px and {PARITY_SCORE}, {len(images)} images"


def _milliseconds(inspector: Inspector, path: Path) -> float:
    start = time.perf_counter()
    inspector.decide(inspector.inspect(path))
    return 1000 * (time.perf_counter() - start)


def _found(path: Path, images: Manifest) -> DetectionTable:
    print(path.name, file=sys.stderr, flush=True)
    return read_coco_results(path, images)


def _metrics(table: DetectionTable) -> DetectionMetrics:
    return table.evaluate(thresholds=choose_thresholds(table), limits=crossfit_thresholds(table))


def _card(path: Path) -> dict[str, Any]:
    card: dict[str, Any] = json.loads((path.parent / path.name.replace(".json.gz", ".card.json")).read_text())
    return card


def _share(metrics: Any, key: str) -> str:
    low, high = metrics.intervals[key]
    return f"{100 * getattr(metrics, key):.1f} ({100 * low:.1f}–{100 * high:.1f})"


def _number(value: float | None, scale: float) -> str:
    return "–" if value is None else f"{value * scale:.2f}"


def _spread(values: list[float]) -> str:
    deviation = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.1f}{deviation}"
