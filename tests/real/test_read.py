import os
from collections import Counter
from pathlib import Path

import pytest

from millscale.data.classes import NEU_CLASSES
from millscale.data.read import read
from millscale.imaging.decode import read_image

DATA = os.environ.get("MILLSCALE_DATA")
pytestmark = pytest.mark.skipif(
    not DATA, reason="needs the environment variable MILLSCALE_DATA: a folder with neu-cls, neu-det, x-sdd"
)
SIX_TIMES_300 = dict.fromkeys(NEU_CLASSES, 300)


def test_neu_cls() -> None:
    manifest = read(Path(DATA or "") / "neu-cls")
    assert manifest.class_counts == SIX_TIMES_300
    assert Counter(record.split for record in manifest.records) == {"train": 1656, "val": 72, "test": 72}
    assert {read_image(record.path).shape for record in manifest.records} == {(200, 200)}


def test_neu_det() -> None:
    manifest = read(Path(DATA or "") / "neu-det")
    boxes = [record.boxes for record in manifest.records if record.boxes]
    assert manifest.class_counts == SIX_TIMES_300
    assert (
        sum(len(b) for b in boxes),
        sum(int(b.difficult.sum()) for b in boxes if b.difficult is not None),
    ) == (4189, 81)
    codes = Counter(problem.code for problem in manifest.problems)
    assert (codes["box_class"], codes["box_twice"]) == (123, 3)


def test_x_sdd() -> None:
    manifest = read(Path(DATA or "") / "x-sdd")
    assert len(manifest) == 1360
    assert manifest.class_counts["oxide scale of plate system"] == 63
    assert len(manifest.classes) == 7
