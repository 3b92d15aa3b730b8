"""How the audit's time and memory grow: ``python benchmarks/audit_growth.py [N ...]`` prints one row a size.

Crops of 200 x 200 pixels are cut from procedurally made sheets, about four to a sheet; each size runs in a
process of its own, so that its peak memory is its own.
"""

import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import PIL.Image

from millscale.data.audit import check
from millscale.data.manifest import ImageRecord, Manifest

SIDE, SHEET, PER_SHEET = 200, 420, 4
SIZES = (2000, 4000, 8000, 16000, 32000)


def make_sheet(rng: np.random.Generator) -> np.ndarray:
    """``(SHEET, SHEET)`` uint8: shading, texture and grain."""
    total = rng.normal(128, 4, (SHEET, SHEET))
    for cells, weight in ((6, 20), (60, 12), (180, 10)):
        coarse = PIL.Image.fromarray(rng.standard_normal((cells, cells)).astype(np.float32))
        total += weight * np.asarray(coarse.resize((SHEET, SHEET), PIL.Image.Resampling.BICUBIC))
    return np.clip(total, 0, 255).astype(np.uint8)


def make_crops(folder: Path, count: int) -> Manifest:
    """``count`` crops as BMP files below ``folder``."""
    rng = np.random.default_rng(count)
    records = []
    for i in range(count):
        if i % PER_SHEET == 0:
            sheet = make_sheet(rng)
        x, y = rng.integers(0, SHEET - SIDE, 2)
        path = folder / f"{i:05d}.bmp"
        PIL.Image.fromarray(sheet[y : y + SIDE, x : x + SIDE]).save(path)
        records.append(ImageRecord(path.name, path, "steel"))
    return Manifest(tuple(records), ("steel",), str(folder))


def measure(manifest: Manifest) -> tuple[float, float, float, int]:
    """Seconds, CPU seconds, peak MB and pairs found of one audit."""
    wall, cpu = time.perf_counter(), time.process_time()
    audit = check(manifest)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return time.perf_counter() - wall, time.process_time() - cpu, peak, len(audit.overlaps)


def main(sizes: list[int]) -> None:
    context = multiprocessing.get_context("spawn")
    print("| crops | seconds | CPU seconds | peak MB | pairs | exponent |\n|---|---|---|---|---|---|")
    before: tuple[int, float] | None = None
    for count in sizes:
        with tempfile.TemporaryDirectory() as folder, context.Pool(1) as pool:
            wall, cpu, peak, pairs = pool.apply(measure, (make_crops(Path(folder), count),))
        exponent = "" if before is None else f"{np.log(cpu / before[1]) / np.log(count / before[0]):.2f}"
        print(f"| {count} | {wall:.1f} | {cpu:.1f} | {peak:.0f} | {pairs} | {exponent} |", flush=True)
        before = count, cpu


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or list(SIZES))
