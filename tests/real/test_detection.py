"""The committed nano on the real images: anyone who scores it again must find what the tables say."""

import os
from pathlib import Path

import pytest

import millscale as ms
from millscale.data.leaks import read_parts
from millscale.metrics.detection_results import read_coco_results
from millscale.metrics.detection_thresholds import choose_thresholds
from millscale.pipeline.evaluate import evaluate

DATA = os.environ.get("MILLSCALE_DATA")
pytestmark = pytest.mark.skipif(not DATA, reason="needs the environment variable MILLSCALE_DATA: a folder with neu-det")
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_the_committed_nano_scores_what_its_committed_boxes_score(tmp_path: Path) -> None:
    images = ms.read(Path(DATA or "") / "neu-det")
    lists = {part: Path(DATA or "") / f"neu-det/splits/kaggle1440-360_{part}.txt" for part in ("train", "val")}
    test = images.select(read_parts(lists, images)["val"])
    bundle = BENCHMARKS / "bundles/neu-det-nano-kaggle1440.millscale"
    again = evaluate(bundle, test).metrics
    table = read_coco_results(BENCHMARKS / "predictions/yolo_n--kaggle1440.json.gz", images)
    committed = table.evaluate(thresholds=choose_thresholds(table), resamples=10)
    assert again.images == committed.images == 360
    assert again.map50 == pytest.approx(committed.map50, abs=0.002)
    assert again.map50_95 == pytest.approx(committed.map50_95, abs=0.002)
