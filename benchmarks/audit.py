"""The overlap audit on both copies of NEU: the bitmaps against their pixels, the JPEG files against the bitmaps."""

import json
import tempfile
import time
from pathlib import Path, PurePosixPath

import numpy as np

from benchmarks.table import Table, data_folder, millscale
from millscale.imaging.decode import read_image

LONG = {"cr": "crazing", "in": "inclusion", "pa": "patches"}
LONG |= {"ps": "pitted_surface", "rs": "rolled-in_scale", "sc": "scratches"}


def main() -> None:
    table = Table(
        "audit",
        "Images that share pixels: `data check` on the two copies of NEU",
        ("data", "time, s", "with label check, s", "pairs", "≥ 10 %", "≥ 30 %", "precision", "recall ≥ 30 %", "groups"),
        notes=(
            "Bitmaps: a pair counts as right where every pixel of the shared rectangle is equal, compared here again.",
            "JPEG: right where the bitmaps of the two share pixels; recall against the bitmaps' pairs of ≥ 30 %.",
            "The bitmaps' own recall needs an independent list: `tests/oracle/test_audit.py` compares on small images.",
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
            recall = "–"
        else:
            right = len(pairs.keys() & truth.keys())
            wide = {pair for pair, part in truth.items() if part >= 0.3}
            recall = f"{len(wide & pairs.keys()) / len(wide):.2%}"
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
