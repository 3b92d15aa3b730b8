"""The audit on the real copies of NEU: what it must find in bitmaps and JPEG files; and on the magnetic tiles."""

import os
from functools import cache
from pathlib import Path, PurePosixPath

import pytest

from millscale.data.audit import Audit, check
from millscale.data.read import read
from millscale.pipeline.audited import audited
from millscale.pipeline.summary import silent

DATA = os.environ.get("MILLSCALE_DATA")
pytestmark = pytest.mark.skipif(
    not DATA,
    reason="needs the environment variable MILLSCALE_DATA: a folder with neu-cls, neu-det and magnetic-tile",
)
LONG = {"Cr": "crazing", "In": "inclusion", "Pa": "patches"}
LONG |= {"PS": "pitted_surface", "RS": "rolled-in_scale", "Sc": "scratches"}


@cache
def audit(name: str) -> Audit:
    return audited(read(Path(DATA or "") / name), silent)


def pairs(found: Audit, least: float) -> set[frozenset[str]]:
    return {frozenset((_stem(o.a), _stem(o.b))) for o in found.overlaps if o.fraction >= least}


def _stem(name: str) -> str:
    kind, _, number = PurePosixPath(name).stem.rpartition("_")
    return f"{LONG.get(kind, kind)}_{number}"


def test_bitmaps() -> None:
    found = audit("neu-cls")
    assert [tuple(map(_stem, pair)) for pair in found.exact_duplicates] == [("patches_101", "patches_105")]
    assert len(pairs(found, 0.1)) >= 2153
    assert all(o.exact for o in found.overlaps)


def test_jpeg_copy_gives_the_same_overlaps() -> None:
    truth, found = audit("neu-cls"), audit("neu-det")
    wide = pairs(truth, 0.3)
    assert len(pairs(found, 0.0) & wide) >= 0.97 * len(wide)
    assert len(pairs(found, 0.0) - pairs(truth, 0.0)) <= 0.01 * len(found.overlaps)


TILES = (
    (1810, 1965), (2038, 2121), (2610, 2697), (3191, 3279), (3667, 3746), (6984, 7102), (18129, 18258),
    (129031, 129148), (129580, 129718), (249594, 249821), (293709, 293912), (319680, 319796), (331149, 331267),
    (339819, 339965),
)  # fmt: skip
"""Numbers in the names between which one tile was photographed and no other; in the last eight it also moved."""


def test_the_photographs_of_one_tile_are_one_group() -> None:
    manifest = read(Path(DATA or "") / "magnetic-tile")
    number = {name: int(PurePosixPath(name).stem.rpartition("_")[2]) for name in manifest.ids}
    tile = {name: span for name, n in number.items() for span in TILES if span[0] <= n <= span[1]}
    groups = check(manifest.select(tile)).groups
    together = {span: {groups[name] for name in tile if tile[name] == span} for span in TILES}
    assert all(len(found) == 1 for found in together.values())
    assert len(set(groups.values())) == len(TILES)
