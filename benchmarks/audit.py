"""The overlap audit on both copies of NEU: the bitmaps against their pixels, the JPEG files against the bitmaps."""

import json
import tempfile
import time
from pathlib import Path, PurePosixPath

import numpy as np

from benchmarks.exhaustive import Exhaustive
from benchmarks.table import Table, data_folder, millscale
from millscale.data.read import read
from millscale.imaging.decode import read_image

SAMPLE = 8
LONG = {"cr": "crazing", "in": "inclusion", "pa": "patches"}
LONG |= {"ps": "pitted_surface", "rs": "rolled-in_scale", "sc": "scratches"}


def main() -> None:
    table = Table(
        "audit",
        "Images that share pixels: `data check` on the two copies of NEU",
        ("data", "time, s", "with label check, s", "pairs", "≥ 10 %", "≥ 30 %", "precision", "recall", "groups"),
        notes=(
            "Bitmaps: a pair counts as right where every pixel of the shared rectangle is equal, compared here again.",
            "JPEG: right where the bitmaps of the two share pixels; recall against the bitmaps' pairs of ≥ 30 %.",
            f"Bitmaps' recall: {SAMPLE} random images of each class against the whole class, pairs of ≥ 10 %.",
            "It is judged by an independent search of every offset, `benchmarks/exhaustive.py`.",
        ),
    )  # fmt: skip
    truth: dict[frozenset[str], float] = {}
    for name in ("neu-cls", "neu-det"):
        data = data_folder(name)
        found, seconds, with_labels = _check(data)
        pairs = {_key(a, b): part for a, b, part in found["overlaps"]}
        if name == "neu-cls":
            truth = pairs
            right = sum(_equal(data, found, i) for i in range(len(found["overlaps"])))
            recall = _sampled_recall(data, pairs)
        else:
            right = len(pairs.keys() & truth.keys())
            wide = {pair for pair, part in truth.items() if part >= 0.3}
            recall = f"{len(wide & pairs.keys()) / len(wide):.2%} (≥ 30 %)"
        table.add(
            name, f"{seconds:.1f}", f"{with_labels:.1f}", len(pairs), sum(part >= 0.1 for part in pairs.values()),
            sum(part >= 0.3 for part in pairs.values()), f"{right / len(pairs):.2%}", recall, found["groups"],
        )  # fmt: skip
    table.save()


def _check(data: Path) -> tuple[dict[str, list[list[float]]], float, float]:
    """The document, and the seconds without and with the label check, each from an empty cache."""
    times = []
    for option in ("--no-labels", "--labels"):
        with tempfile.TemporaryDirectory() as cache:
            start = time.perf_counter()
            document = json.loads(millscale("data", "check", str(data), "--json", option, cache=Path(cache)).stdout)
            times.append(time.perf_counter() - start)
    return document, times[0], times[1]


def _sampled_recall(data: Path, pairs: dict[frozenset[str], float]) -> str:
    rng, found, there = np.random.default_rng(0), 0, 0
    manifest = read(data)
    for name in manifest.classes:
        records = [record for record in manifest.records if record.label == name]
        pixels = [read_image(record.path) for record in records]
        search = Exhaustive(np.stack([p if p.ndim == 2 else p[:, :, 0] for p in pixels]), least=0.1)
        for i in rng.choice(len(records), SAMPLE, replace=False):
            for j in range(len(records)):
                if i != j and search.share_pixels(int(i), j):
                    there += 1
                    found += pairs.get(_key(records[i].id, records[j].id), 0.0) >= 0.099
    return f"{found / there:.2%} of {there} (≥ 10 %)"


def _key(a: str, b: str) -> frozenset[str]:
    return frozenset((_canonical(a), _canonical(b)))


def _canonical(name: str) -> str:
    stem = PurePosixPath(name).stem
    kind, _, number = stem.rpartition("_")
    return f"{LONG.get(kind.lower(), kind)}_{number}"


def _equal(data: Path, found: dict[str, list[list[float]]], index: int) -> bool:
    """Is every pixel that the two images are said to share the same?"""
    name_a, name_b, _ = found["overlaps"][index]
    dx, dy, _ = (int(value) for value in found["overlap_offsets"][index])
    a, b = read_image(data / str(name_a)), read_image(data / str(name_b))
    height, width = a.shape[:2]
    left = a[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)]
    right = b[max(-dy, 0) : height - max(dy, 0), max(-dx, 0) : width - max(dx, 0)]
    return bool(np.array_equal(left, right))


if __name__ == "__main__":
    main()
