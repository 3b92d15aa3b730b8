"""The exact audit against the obvious way: slide every image over every other and compare all pixels."""

from pathlib import Path

import numpy as np
import PIL.Image

from millscale.data.audit import check
from millscale.data.manifest import ImageRecord, Manifest

SIDE = 40
LEAST = 10


def slide(a: np.ndarray, b: np.ndarray) -> tuple[int, int] | None:
    """The offset with at least ``LEAST`` shared rows and columns at which all shared pixels are identical."""
    for dy in range(LEAST - SIDE, SIDE - LEAST + 1):
        for dx in range(LEAST - SIDE, SIDE - LEAST + 1):
            shared = a[max(0, dy) : SIDE + min(0, dy), max(0, dx) : SIDE + min(0, dx)]
            other = b[max(0, -dy) : SIDE + min(0, -dy), max(0, -dx) : SIDE + min(0, -dx)]
            if shared[0, 0] == other[0, 0] and np.array_equal(shared, other):
                return dx, dy
    return None


def test_every_overlap_that_sliding_finds(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    parents = [rng.integers(0, 256, (90, 90), np.uint8) for _ in range(3)]
    images, records = [], []
    for i in range(14):
        x, y = rng.integers(0, 51, 2)
        images.append(parents[i % 3][y : y + SIDE, x : x + SIDE])
        path = tmp_path / f"{i:02d}.png"
        PIL.Image.fromarray(images[-1]).save(path)
        records.append(ImageRecord(path.name, path, "steel"))
    truth = {
        (f"{i:02d}.png", f"{j:02d}.png", *offset)
        for i in range(14)
        for j in range(i + 1, 14)
        if (offset := slide(images[i], images[j]))
    }
    found = check(Manifest(tuple(records), ("steel",), "made")).overlaps
    wide = {(o.a, o.b, o.dx, o.dy) for o in found if max(abs(o.dx), abs(o.dy)) <= SIDE - LEAST}
    assert len(truth) > 10
    assert wide == truth
