"""Annotated images whose overlaps are given, not searched: only their sizes are read from the files."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from millscale.core.types import Boxes
from millscale.data.audit import Audit
from millscale.data.audit.overlap import Overlap
from millscale.data.manifest import ImageRecord, Manifest

Drawn = Iterable[tuple[int, ...]] | None
Annotated = Callable[..., tuple[Manifest, Audit]]


def boxes(drawn: Drawn) -> Boxes | None:
    """Boxes of rows (class, left, top, right, bottom), or with a sixth entry: difficult."""
    if drawn is None:
        return None
    rows = np.array([(*row, 0)[:6] for row in drawn]).reshape(-1, 6)
    return Boxes(rows[:, 1:5], rows[:, 0], difficult=rows[:, 5])


@pytest.fixture
def annotated(tmp_path: Path) -> Annotated:
    """``annotated({id: rows}, overlaps, size=…)``: a manifest of the classes "crack" and "pit", and its audit."""

    def make(
        images: Mapping[str, Drawn],
        overlaps: Iterable[Overlap],
        *,
        sizes: Mapping[str, tuple[int, int]] | None = None,
        level: Mapping[str, int] | None = None,
        copies: Iterable[tuple[str, str]] = (),
        exposures: Iterable[Overlap] = (),
    ) -> tuple[Manifest, Audit]:
        records = []
        for name, drawn in images.items():
            path = tmp_path / f"{name}.png"
            PIL.Image.new("L", (sizes or {}).get(name, (100, 100)), (level or {}).get(name, 0)).save(path)
            records.append(ImageRecord(name, path, "crack", boxes(drawn), split="val"))
        manifest = Manifest(tuple(records), ("crack", "pit"), str(tmp_path))
        groups = dict.fromkeys(manifest.ids, "one")
        audit = Audit(
            len(records), {}, (), tuple(copies), tuple(overlaps), tuple(exposures), (), groups, (), ()
        )  # fmt: skip
        return manifest, audit

    return make
