"""Real surfaces fall into their classes without a label."""

import os
from pathlib import Path

import pytest

import millscale as ms

DATA = os.environ.get("MILLSCALE_DATA")
pytestmark = pytest.mark.skipif(not DATA, reason="set MILLSCALE_DATA to the folder that holds neu-cls")


def test_the_six_defects_of_neu_are_found_unaided(real, tmp_path: Path):
    """Every fourth image, to be quick; ``python -m benchmarks clustering`` measures all."""
    found = ms.cluster(real.part("neu-cls", 4), out=tmp_path)
    assert found.clusters.count == 6
    assert found.clusters.stability > 0.9
    assert found.scores is not None
    assert found.scores.accuracy >= 0.95
    assert found.scores.nmi >= 0.93
