"""The audit on the real copies of NEU: what it must find in the bitmaps, and again in the JPEG files."""

import os
from functools import cache
from pathlib import Path, PurePosixPath

import pytest

from millscale.data.audit import Audit, check
from millscale.data.read import read

DATA = os.environ.get("MILLSCALE_DATA")
pytestmark = pytest.mark.skipif(
    not DATA, reason="needs the environment variable MILLSCALE_DATA: a folder with neu-cls and neu-det"
)
LONG = {"Cr": "crazing", "In": "inclusion", "Pa": "patches"}
LONG |= {"PS": "pitted_surface", "RS": "rolled-in_scale", "Sc": "scratches"}


@cache
def audit(name: str) -> Audit:
    return check(read(Path(DATA or "") / name))


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
