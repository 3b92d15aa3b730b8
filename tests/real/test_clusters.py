"""Real surfaces fall into their classes without a label."""

import os
from pathlib import Path

import pytest

import millscale as ms

DATA = os.environ.get("MILLSCALE_DATA")
pytestmark = pytest.mark.skipif(not DATA, reason="set MILLSCALE_DATA to the folder that holds neu-cls and x-sdd")


@pytest.mark.parametrize(
    ("data", "clusters", "accuracy", "nmi"), [("neu-cls", (5, 7), 0.985, 0.96), ("x-sdd", (5, 9), 0.85, 0.78)]
)
def test_unaided_and_told_how_many(data: str, clusters: tuple[int, int], accuracy: float, nmi: float, tmp_path: Path):
    images = ms.read(Path(str(DATA)) / data)
    unaided = ms.cluster(images, out=tmp_path / "unaided")
    assert clusters[0] <= unaided.clusters.count <= clusters[1]
    assert unaided.clusters.stability > 0.9
    told = ms.cluster(images, clusters=len(images.classes), out=tmp_path / "told")
    assert told.scores is not None
    assert told.scores.accuracy >= accuracy
    assert told.scores.nmi >= nmi
    assert told.seconds < 60
