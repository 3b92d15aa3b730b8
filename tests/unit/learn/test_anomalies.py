"""Scores and limits come from models and scales that saw nothing of the image."""

from dataclasses import replace

import numpy as np
import PIL.Image
import pytest

import millscale as ms
from millscale.learn.anomalies import PARTS, AnomalyConfig, train_anomaly
from millscale.learn.recipe import Task
from millscale.metrics.false_alarms import threshold_for

ODD = 7


@pytest.fixture(scope="module")
def sheets(tmp_path_factory):
    """24 images of grey noise, of which one is coarser than the others."""
    folder, rng = tmp_path_factory.mktemp("sheets"), np.random.default_rng(0)
    for i in range(24):
        fine = rng.normal(128, 20, (96, 96))
        coarse = np.kron(rng.normal(128, 40, (12, 12)), np.ones((8, 8)))
        pixels = np.clip(coarse if i == ODD else fine, 0, 255).astype(np.uint8)
        PIL.Image.fromarray(pixels).save(folder / f"{i:02}.png")
    return ms.read(folder)


def fitted(sheets, folder, tiny_path, labels):
    records = tuple(replace(r, label=label, group=r.id) for r, label in zip(sheets.records, labels, strict=True))
    manifest = replace(sheets, records=records, classes=("defect", "good"))
    folds = np.arange(len(manifest)) % PARTS
    task = Task(manifest, folds, 0, folder, lambda *_: None, good_classes=("good",))
    return train_anomaly(task, AnomalyConfig(backbone=str(tiny_path), method="gaussian", size=96, false_alarm_rate=0.2))


def test_an_odd_image_among_the_good_seems_as_odd_as_one_apart(sheets, tmp_path, tiny_path):
    """With a share in the scale that it is judged by it would seem a fifth as odd."""
    among = fitted(sheets, tmp_path, tiny_path, ["good"] * 24)
    apart = fitted(sheets, tmp_path, tiny_path, ["defect" if i == ODD else "good" for i in range(24)])
    others = np.delete(np.arange(24), ODD) % PARTS != ODD % PARTS
    limit = threshold_for(apart.normal[others, 0], None, 0.2).threshold
    assert among.normal[ODD, 0] > 0.8 * limit * apart.scores[ODD]
