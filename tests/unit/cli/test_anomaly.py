"""``train --task anomaly`` and what its bundle does, through the command line."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest
from scipy.ndimage import gaussian_filter

from millscale.data.read import read
from millscale.pipeline.evaluate import evaluate
from millscale.runtime.bundle import open_bundle
from millscale.runtime.inspector import Inspector

SIDE = 96
FAST = ("--set", f"size={SIDE}", "--set", "bank=200")


def surface(seed: int) -> np.ndarray:
    """Brushed metal: streaks along the columns, uneven light."""
    rng = np.random.default_rng(seed)
    streaks = gaussian_filter(rng.normal(0, 1, (SIDE, SIDE)), (12, 0.7))
    light = np.add.outer(np.linspace(-1, 1, SIDE) * rng.normal(0, 6), np.linspace(-1, 1, SIDE) * rng.normal(0, 6))
    return np.clip(120 + 60 * streaks / streaks.std() * 0.2 + light + rng.normal(0, 3, (SIDE, SIDE)), 0, 255)


def spotted(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The same with a dark hole, and where it is."""
    rng = np.random.default_rng(seed)
    y, x = rng.integers(20, SIDE - 20, 2)
    mask = np.hypot(*np.ogrid[-y : SIDE - y, -x : SIDE - x]) < 9
    return np.where(mask, 30, surface(seed)), mask


def save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels.astype(np.uint8)).save(path, quality=95)


@pytest.fixture(scope="module")
def metal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 good images, and 12 with a hole and its mask."""
    root = tmp_path_factory.mktemp("metal")
    for k in range(48):
        save(surface(k), root / f"good/g{k}.jpg")
    for k in range(12):
        pixels, mask = spotted(1000 + k)
        save(pixels, root / f"hole/h{k}.jpg")
        save(255 * mask, root / f"hole/h{k}.png")
    return root


@pytest.fixture(scope="module")
def scored(millscale, metal, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("run")
    done = millscale("train", metal, "--task", "anomaly", "--out", folder, "--name", "metal", "--json", *FAST)
    assert done.code == 0, done.err
    return SimpleNamespace(folder=folder, bundle=folder / "metal.millscale", metrics=json.loads(done.out)["metrics"])


def test_it_tells_holes_from_good_metal_and_says_where(scored):
    assert scored.metrics["auroc"] > 0.95
    assert scored.metrics["pixel_auroc"] > 0.9
    assert scored.metrics["aupro"] > 0.6
    assert scored.metrics["images"] == 60
    assert scored.metrics["kinds"] == {"hole": 12}
    assert (scored.folder / "report.html").is_file()
    with (scored.folder / "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 60
    assert sum(row["defective"] == "1" for row in rows) == 12


def test_the_bundle_was_fitted_on_good_images_alone(scored):
    card = open_bundle(scored.bundle).card
    assert card.provenance["trained_on"] == 48
    assert card.protocol == "3-fold cross-validation, images that share pixels kept together"
    folds = json.loads((scored.folder / "split.json").read_text(encoding="utf-8"))["folds"]
    held_out = [sum(name.startswith("good/") for fold in folds[k::3] for name in fold) for k in range(3)]
    told = f"the other 2 folds, {48 - max(held_out)} to {48 - min(held_out)} images"
    assert told in (scored.folder / "report.html").read_text(encoding="utf-8")
    assert card.scorer is not None
    assert card.scorer.alarms is not None
    assert card.scorer.alarms.images == 48
    assert card.scorer.alarms.rate_asked == 0.01
    assert card.good_classes == ("good",)


def test_inspect_rejects_a_hole_and_draws_a_box_on_it(scored, millscale, tmp_path: Path):
    pixels, mask = spotted(5000)
    save(pixels, tmp_path / "hole.png")
    save(surface(5001), tmp_path / "good.png")
    done = millscale("inspect", scored.bundle, tmp_path, "--json", "--draw", tmp_path / "drawn")
    assert done.code == 0, done.err
    good, hole = (json.loads(line) for line in done.out.splitlines())
    assert (good["verdict"], good["label"], good["boxes"]) == ("pass", "good", [])
    assert (hole["verdict"], hole["label"]) == ("reject", "anomaly")
    assert good["score"] < 0.5 <= hole["score"]
    assert "× the limit" in hole["reason"]
    y, x = (axis.mean() for axis in np.nonzero(mask))
    assert any(
        left <= x < right and top <= y < bottom for left, top, right, bottom in (b["xyxy"] for b in hole["boxes"])
    )
    assert (tmp_path / "drawn/hole.boxes.png").is_file()
    for box in hole["boxes"]:
        left, top, right, bottom = box["xyxy"]
        assert 0 < box["area"] <= (right - left) * (bottom - top)


def test_the_map_has_the_size_of_the_image_and_stands_at_one_half_at_the_limit(scored):
    inspector = Inspector.open(scored.bundle)
    image = np.pad(spotted(5000)[0].astype(np.uint8), ((0, 31), (0, 7)), mode="reflect")
    prediction = inspector.inspect(image)
    assert prediction.anomaly_map is not None
    assert prediction.anomaly_map.shape == image.shape
    assert 0 <= prediction.anomaly_map.min() <= prediction.anomaly_map.max() < 1
    assert prediction.boxes is not None
    assert prediction.boxes.score is not None
    assert (prediction.boxes.score >= 0.5).all()


def test_another_false_alarm_rate_moves_the_limit_without_training(scored, millscale, tmp_path: Path):
    limits = []
    for rate in (0.3, 0.1, 0.01):
        inspector = Inspector.open(scored.bundle, false_alarm_rate=rate)
        assert inspector.alarms is not None
        limits.append(inspector.alarms.threshold)
    assert limits == sorted(limits)
    assert limits[0] < limits[1] < limits[2]
    for k in range(40):
        save(surface(2000 + k), tmp_path / f"{k}.png")
    found = {}
    for rate in ("0.3", "0.01"):
        done = millscale("inspect", scored.bundle, tmp_path, "--json", "--false-alarm-rate", rate)
        found[rate] = [json.loads(line)["verdict"] for line in done.out.splitlines()].count("reject")
    assert found["0.01"] <= 3 < found["0.3"] <= 28


def test_evaluate_gives_the_same_scores_as_inspect_would(scored, millscale, metal, tmp_path: Path):
    done = millscale("evaluate", scored.bundle, metal, "--out", tmp_path, "--json")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert document["trained_on"] == 48
    assert document["auroc"] > 0.95
    assert document["escape_rate"] < 0.3
    assert {"average_precision", "fpr95", "pixel_auroc", "aupro", "overkill_rate", "intervals"} <= set(document)
    assert "Careful: 48 of these images were used" in done.err
    wrong = millscale("evaluate", scored.bundle, metal, "--out", tmp_path, "--good", "god")
    assert (wrong.code, "Unknown class 'god'. Did you mean 'good'?" in wrong.err) == (2, True)


def test_the_cheapest_limit_is_told_and_its_rate_sets_it(scored, millscale, metal, tmp_path: Path):
    costs = ("--cost", "escape=20", "--cost", "overkill=1")
    done = millscale("evaluate", scored.bundle, metal, "--out", tmp_path, "--json", *costs)
    assert done.code == 0, done.err
    cheapest = json.loads(done.out)["cheapest"]
    with (tmp_path / "predictions.csv").open(encoding="utf-8") as file:
        rows = [(float(row["score"]), row["defective"] == "1") for row in csv.DictReader(file)]

    def cost(limit: float) -> int:
        return sum(20 * (bad and score < limit) + (not bad and score >= limit) for score, bad in rows)

    assert cost(cheapest["limit"]) == min(cost(limit) for limit, _ in [*rows, (1e9, True)])
    rates = [Inspector.open(scored.bundle, false_alarm_rate=r).alarms for r in (cheapest["false_alarm_rate"], 0.01)]
    assert rates[0] is not None
    assert rates[1] is not None
    assert rates[0].threshold / rates[1].threshold == pytest.approx(cheapest["limit"], rel=0.02)
    told = millscale("evaluate", scored.bundle, metal, "--out", tmp_path, *costs)
    assert f"--false-alarm-rate {cheapest['false_alarm_rate']:g}" in told.err


def test_no_map_of_the_size_of_its_image_is_kept(scored, tmp_path: Path):
    for k in range(3):
        save(surface(k).repeat(9, 0).repeat(9, 1), tmp_path / f"set/good/{k}.png")
    maps = evaluate(scored.bundle, read(tmp_path / "set")).table.maps
    assert len(maps) == 3
    # A view would keep all that it is a view of.
    assert all(each.base is None and max(each.shape) < 100 for each in maps.values())


def test_the_same_training_gives_the_same_bytes(scored, millscale, metal, tmp_path: Path):
    done = millscale("train", metal, "--task", "anomaly", "--out", tmp_path, "--name", "metal", *FAST)
    assert done.code == 0, done.err
    assert (tmp_path / "metal.millscale").read_bytes() == scored.bundle.read_bytes()
    assert "AUROC of images" in done.err


def test_mvtec_asks_for_an_anomaly_scorer_and_its_test_part_is_judged(millscale, tmp_path: Path):
    for k in range(24):
        save(surface(k), tmp_path / f"set/train/good/{k:03}.png")
    for k in range(6):
        save(surface(300 + k), tmp_path / f"set/test/good/{k:03}.png")
        pixels, mask = spotted(400 + k)
        save(pixels, tmp_path / f"set/test/hole/{k:03}.png")
        save(255 * mask, tmp_path / f"set/ground_truth/hole/{k:03}_mask.png")
    save(surface(3), tmp_path / "set/test/good/copy.png")
    done = millscale("train", tmp_path / "set", "--out", tmp_path / "run", "--json", *FAST)
    assert done.code == 0, done.err
    metrics = json.loads(done.out)["metrics"]
    assert (metrics["images"], metrics["defective"]) == (13, 6)
    assert metrics["auroc"] > 0.9
    protocol = open_bundle(tmp_path / "run/set.millscale").card.protocol
    assert protocol.startswith("a given training part and test part, 1 of 13 judged images share pixels")
    assert "the training part, 24 images" in (tmp_path / "run/report.html").read_text(encoding="utf-8")


def test_images_are_looked_at_in_windows(millscale, tmp_path: Path):
    def sheet(seed: int) -> np.ndarray:
        return np.block(
            [[surface(10 * seed), surface(10 * seed + 1)], [surface(10 * seed + 2), surface(10 * seed + 3)]]
        )

    for k in range(20):
        save(sheet(k), tmp_path / f"set/train/good/{k}.png")
    for k in range(6):
        save(sheet(100 + k), tmp_path / f"set/test/good/{k}.png")
        pixels, mask = sheet(200 + k), np.zeros((2 * SIDE, 2 * SIDE))
        where = spotted(3000 + k)[1]
        pixels[SIDE // 2 : SIDE // 2 + SIDE, SIDE:][where] = 30
        mask[SIDE // 2 : SIDE // 2 + SIDE, SIDE:] = 255 * where
        save(pixels, tmp_path / f"set/test/hole/{k}.png")
        save(mask, tmp_path / f"set/ground_truth/hole/{k}_mask.png")
    words = ("--out", tmp_path / "run", "--json", *FAST, "--set", f"tile={SIDE}")
    done = millscale("train", tmp_path / "set", *words)
    assert done.code == 0, done.err
    assert "ahead: about " in done.err
    metrics = json.loads(done.out)["metrics"]
    assert metrics["auroc"] > 0.9
    assert metrics["pixel_auroc"] > 0.9
    bundle = tmp_path / "run/set.millscale"
    scorer = open_bundle(bundle).card.scorer
    assert scorer is not None
    assert scorer.tile == SIDE
    large = np.tile(surface(7777), (8, 8))
    row, column = 320, 530
    large[row : row + 24, column : column + 24] = 30
    save(large, tmp_path / "large.png")
    done = millscale("inspect", bundle, tmp_path / "large.png", "--json")
    found = [box["xyxy"] for box in json.loads(done.out)["boxes"]]
    assert any(x <= column + 12 < right and y <= row + 12 < bottom for x, y, right, bottom in found)
    wrong = millscale("train", tmp_path / "set", "--out", tmp_path / "wrong", "--set", "tile=8")
    assert (wrong.code, "tile: expected 0, for whole images, or 64 to 8192" in wrong.err) == (2, True)


def test_a_folder_of_good_images_alone_is_enough(millscale, tmp_path: Path):
    for k in range(24):
        save(surface(k), tmp_path / f"plain/{k}.png")
    done = millscale("train", tmp_path / "plain", "--task", "anomaly", "--out", tmp_path / "run", "--json", *FAST)
    assert done.code == 0, done.err
    metrics = json.loads(done.out)["metrics"]
    assert metrics["auroc"] is None
    assert metrics["overkill_rate"] is not None


@pytest.mark.parametrize(
    ("folders", "told"),
    [
        ({"hole": 24, "dent": 24}, "--good"),
        ({"good": 6, "hole": 30}, "expected at least 20 good images"),
    ],
)
def test_a_set_without_enough_good_images_is_refused_with_what_to_do(millscale, tmp_path: Path, folders, told):
    for name, count in folders.items():
        for k in range(count):
            save(surface(k + 100 * len(name)), tmp_path / f"set/{name}/{k}.png")
    done = millscale("train", tmp_path / "set", "--task", "anomaly", "--out", tmp_path / "run", *FAST)
    assert done.code == 3
    assert told in done.err


def test_black_frames_among_the_good_are_left_out(millscale, tmp_path: Path):
    for k in range(24):
        save(surface(k), tmp_path / f"set/good/{k}.png")
    save(np.zeros((SIDE, SIDE)), tmp_path / "set/good/black.png")
    done = millscale("train", tmp_path / "set", "--task", "anomaly", "--out", tmp_path / "run", "--json", *FAST)
    assert done.code == 0, done.err
    assert json.loads(done.out)["metrics"]["images"] == 24
    assert "blank_image" in done.err
    judged = millscale("evaluate", tmp_path / "run/set.millscale", tmp_path / "set", "--out", tmp_path / "ev", "--json")
    document = json.loads(judged.out)
    assert (document["images"], document["faults"]) == (25, 1)


def test_defects_among_the_good_are_told(millscale, metal, tmp_path: Path):
    for k in range(40):
        save(surface(k), tmp_path / f"set/good/{k}.png")
    for k in range(2):
        save(spotted(700 + k)[0], tmp_path / f"set/good/bad{k}.png")
    done = millscale("train", tmp_path / "set", "--task", "anomaly", "--out", tmp_path / "run", *FAST)
    assert done.code == 0, done.err
    suspects = json.loads((tmp_path / "run/run.json").read_text())["trained"]["suspects"]
    assert {entry["image"] for entry in suspects[:2]} == {"good/bad0.png", "good/bad1.png"}
    assert "good/bad0.png" in done.err


def test_what_makes_no_sense_is_refused(scored, trained, millscale, metal):
    costs = millscale("inspect", scored.bundle, metal / "good/g0.jpg", "--cost", "escape=3")
    assert costs.code == 2
    assert "false-alarm rate" in costs.err
    other = millscale("inspect", trained.bundle, metal / "good/g0.jpg", "--false-alarm-rate", "0.1")
    assert other.code == 2
    assert "anomaly scorer" in other.err
    rate = millscale("inspect", scored.bundle, metal / "good/g0.jpg", "--false-alarm-rate", "2")
    assert rate.code == 2
    joined = millscale("ensemble", scored.bundle, scored.bundle, "--out", scored.folder / "joined.millscale")
    assert (joined.code, "found an anomaly scorer" in joined.err) == (2, True)
    explained = millscale("explain", scored.bundle, metal / "good/g0.jpg", "--out", scored.folder / "explained")
    assert (explained.code, "millscale inspect --draw" in explained.err) == (2, True)
    for bundle, words, told in (
        (scored.bundle, ("--unknown-classes",), "expected a classifier with a guard, found the task 'anomaly'"),
        (trained.bundle, ("--good", "good"), "expected an anomaly bundle to be judged, found the task 'classify'"),
    ):
        useless = millscale("evaluate", bundle, metal, "--out", scored.folder / "evaluated", *words)
        assert (useless.code, told in useless.err) == (2, True)
    option = millscale("train", metal, "--task", "anomaly", "--set", "method=magic")
    assert option.code == 2
    assert "patchcore" in option.err


def test_a_scorer_is_exported_where_it_answers_alike(scored, millscale, metal, tmp_path: Path):
    words = ("--data", metal / "hole", "--out", tmp_path, "--backend", "onnxruntime", "--json")
    done = millscale("export", scored.folder, *words)
    assert done.code == 0, done.err
    (parity,) = json.loads(done.out)["parity"]
    assert (parity["output"], parity["largest"]) == ("map", 0.0)
    assert (tmp_path / "anomaly.onnx").is_file()


def test_folds_that_leave_no_good_image_to_hold_out_are_refused(millscale, tmp_path: Path):
    for k in range(24):
        save(surface(k), tmp_path / f"set/good/{k}.png")
    for k in range(6):
        save(spotted(700 + k)[0], tmp_path / f"set/hole/{k}.png")
    holes = [f"hole/{k}.png" for k in range(6)]
    folds = [[f"good/{k}.png" for k in range(24)], holes[:3], holes[3:]]
    split = {"train": [*folds[0], *holes], "val": [], "test": [], "folds": folds, "groups": 30, "leaks": 0}
    (tmp_path / "split.json").write_text(json.dumps(split))
    words = ("--task", "anomaly", "--split", tmp_path / "split.json", "--out", tmp_path / "run", *FAST)
    done = millscale("train", tmp_path / "set", *words)
    assert done.code == 3
    assert "in 1 of the 3 parts" in done.err
