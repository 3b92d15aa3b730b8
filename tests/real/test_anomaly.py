"""The default anomaly scorer on magnetic tiles that it was not fitted on."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from millscale.data.manifest import Manifest
from millscale.data.read import read
from millscale.learn.anomalies import AnomalyConfig, train_anomaly
from millscale.learn.recipe import Task
from millscale.metrics.openset import auroc

DATA = os.environ.get("MILLSCALE_DATA")
pytestmark = pytest.mark.skipif(
    not DATA, reason="needs the environment variable MILLSCALE_DATA: a folder with magnetic-tile"
)


@pytest.fixture(scope="module")
def tiles() -> Manifest:
    """Of the magnetic tiles 90 good ones to fit on, then 40 good and 40 defective ones of later numbers.

    The numbers rise with time and a tile's photographs lie close together, so ten good ones in turn are one group.
    """
    images = read(Path(DATA or "") / "magnetic-tile")
    number = {record.id: int(Path(record.id).stem.rpartition("_")[2]) for record in images.records}
    rows = sorted(images.records, key=lambda record: number[record.id])
    good = [record for record in rows if record.label == "MT_Free"]
    bad = [record for record in rows if record.label != "MT_Free" and number[record.id] > number[good[110].id]]
    chosen = [replace(record, split="train", group=str(k // 10)) for k, record in enumerate(good[:90])]
    later = (*good[110:150], *bad[:: len(bad) // 40][:40])
    chosen += [replace(record, split="test", group=record.id) for record in later]
    return replace(images, records=tuple(chosen))


def test_it_ranks_defects_above_new_tiles_and_rejects_few_of_those(tiles, tmp_path: Path):
    folds = np.array([int(r.group) % 3 if r.split == "train" else 0 for r in tiles.records], np.int64)
    task = Task(tiles, folds, 0, tmp_path, lambda *_: None, good_classes=("MT_Free",))
    found = train_anomaly(task, AnomalyConfig(size=192))
    judged = np.isfinite(found.scores)
    assert judged.sum() == 80
    good, bad = (found.scores[judged & (found.good == which)] for which in (True, False))
    assert auroc(good, bad) > 0.7
    assert (good >= 1).mean() <= 0.1
    assert found.pixels is not None
    assert found.pixels.evaluate(seed=0, resamples=50).values["pixel_auroc"] > 0.6
