"""How time and memory of the audit and of the training grow with the number of images."""

import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.table import Table
from millscale.data.synthetic import make_dataset

SIZES = (2_000, 8_000, 32_000)


def main(sizes: tuple[int, ...] = SIZES) -> None:
    table = Table(
        "growth",
        "Growth with the number of images (synthetic overlapping crops, 200×200)",
        ("images", "audit, s", "audit, MB", "train, s", "train, MB", "audit: time ∝ n^", "train: time ∝ n^"),
        notes=(
            "`data check --no-labels`, then `train` with the packaged backbone, the audit done and features cold.",
            "MB: peak resident memory of the process. Exponents are against the row above.",
        ),
    )
    before: tuple[int, float, float] | None = None
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            data = Path(folder) / f"steel-{size}"
            make_dataset(data, per_class=size // 6, image_format="bmp", seed=size)
            before = _measure(table, size, data / "images", Path(folder), before)
    table.save()


def _measure(
    table: Table, size: int, data: Path, folder: Path, before: tuple[int, float, float] | None
) -> tuple[int, float, float]:
    cache = folder / f"cache-{size}"
    audit, audit_memory = _run("data", "check", str(data), "--no-labels", "--json", cache=cache)
    train, train_memory = _run("train", str(data), "--out", str(folder / f"run-{size}"), "--json", cache=cache)
    exponents = ["", ""]
    if before:
        ratio = math.log(size / before[0])
        exponents = [f"{math.log(audit / before[1]) / ratio:.2f}", f"{math.log(train / before[2]) / ratio:.2f}"]
    table.add(size, f"{audit:.1f}", f"{audit_memory:.0f}", f"{train:.1f}", f"{train_memory:.0f}", *exponents)
    return size, audit, train


def _run(*arguments: str, cache: Path) -> tuple[float, float]:
    """Seconds and peak memory in MB of one command."""
    start = time.perf_counter()
    environment = {**os.environ, "MILLSCALE_CACHE": str(cache)}
    process = subprocess.Popen(
        [sys.executable, "-m", "millscale", *arguments],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"millscale {' '.join(arguments)} failed with status {status}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main(tuple(int(text) for text in sys.argv[1:]) or SIZES)
