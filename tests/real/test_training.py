"""The main job on the real images: what the README claims must hold here."""

import os
from pathlib import Path

import numpy as np
import pytest

import millscale as ms

DATA = os.environ.get("MILLSCALE_DATA")
pytestmark = pytest.mark.skipif(
    not DATA, reason="needs the environment variable MILLSCALE_DATA: a folder with neu-cls and x-sdd"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory):
    return ms.train(ms.read(Path(DATA or "") / "neu-cls"), out=tmp_path_factory.mktemp("neu"))


def test_neu_is_learnt_without_leak(run) -> None:
    assert run.metrics.images == 1800
    assert run.metrics.accuracy >= 0.998
    assert run.split.leaks == 0
    home: dict[str | None, set[int]] = {}
    for group, fold in zip(run.table.groups or (), run.table.fold, strict=True):
        home.setdefault(group, set()).add(int(fold))
    assert all(len(folds) == 1 for folds in home.values())


def test_the_bundle_answers_as_the_final_model(run) -> None:
    inspector = ms.Inspector.open(run.bundle_path)
    sample = run.manifest.records[::60]
    probs = np.stack([inspector.inspect(record.path).probs for record in sample])
    assert [run.manifest.classes[i] for i in probs.argmax(1)] == [record.label for record in sample]


def test_the_packaged_bundle_knows_neu() -> None:
    images = ms.read(Path(DATA or "") / "neu-cls").records[::30]
    inspector = ms.Inspector.open()
    verdicts = [inspector.decide(inspector.inspect(record.path)) for record in images]
    assert [verdict.label for verdict in verdicts] == [record.label for record in images]


def test_seven_other_classes_through_the_same_call(tmp_path: Path) -> None:
    run = ms.train(ms.read(Path(DATA or "") / "x-sdd"), out=tmp_path)
    assert run.metrics.images == 1360
    assert run.metrics.accuracy >= 0.985
