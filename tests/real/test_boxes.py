"""How well the annotators of NEU-DET agree with each other where its crops overlap."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from millscale.data.read import read
from millscale.metrics.agreement import agreement
from millscale.pipeline.audited import audited
from millscale.pipeline.summary import silent

DATA = os.environ.get("MILLSCALE_DATA")
pytestmark = pytest.mark.skipif(not DATA, reason="needs the environment variable MILLSCALE_DATA: a folder with neu-det")
EXPECTED = {
    "crazing": (0.51, 0.73),
    "rolled-in_scale": (0.60, 0.74),
    "scratches": (0.84, 0.96),
    "patches": (0.84, 0.96),
}
"""Share of boxes with a partner of IoU .5 or more, within what other ways of counting them give."""


def test_two_annotations_of_one_surface() -> None:
    images = read(Path(DATA or "") / "neu-det")
    audit = audited(images, silent)
    images = images.select(record.id for record in images.records if record.label in EXPECTED)
    known = set(images.ids)
    overlaps = tuple(overlap for overlap in audit.overlaps if {overlap.a, overlap.b} <= known)
    found = agreement(images, replace(audit, overlaps=overlaps), resamples=200)
    assert found.pairs > 1000
    for name, (low, high) in EXPECTED.items():
        one = found.classes[name]
        assert one.boxes > 300
        assert low <= one.iou50 <= high, (name, one.iou50)
        assert one.iou75 < one.iou50
