"""Our detection numbers against COCO's rules written out slowly, and the fast bootstrap against real resamples."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from millscale.core.types import Boxes
from millscale.metrics.bootstrap import group_draws, group_index
from millscale.metrics.detection_ap import average_precision, resampled_ap
from millscale.metrics.detection_coverage import covered_areas
from millscale.metrics.detection_match import class_matches
from millscale.metrics.detection_results import write_coco_results
from millscale.metrics.detection_thresholds import choose_thresholds, crossfit_thresholds
from millscale.metrics.detections import DetectionTable

coco_api = pytest.importorskip("faster_coco_eval")

IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
NAMES = ("crack", "dent", "pit", "unseen")


def random_table(seed, images=14, side=40, most=(5, 9)):
    """Whole pixels, so that overlaps tie and stand on thresholds; the last class has no true box that counts.

    One true box in five is difficult, every fourth image has nothing drawn, every fifth nothing found.
    """
    rng = np.random.default_rng(seed)
    truth, found = [], []
    scores = iter(rng.permutation(images * (most[1] + 1)) + 1)
    for row in range(images):
        drawn = random_corners(rng, 0 if row % 4 == 3 else rng.integers(1, most[0] + 1), side)
        true_class = rng.integers(0, 3, len(drawn))
        hard = rng.random(len(drawn)) < 0.2
        true_class[hard & (rng.random(len(drawn)) < 0.3)] = 3
        count = 0 if row % 5 == 4 else rng.integers(1, most[1] + 1)
        guess, guessed = random_corners(rng, count, side), rng.integers(0, 4, count)
        for i in range(min(count, len(drawn))):
            guess[i] = drawn[i] + rng.integers(-1, 2, 4) * (rng.random() < 0.7)
            guessed[i] = true_class[i] if rng.random() < 0.8 else guessed[i]
        score = np.array([next(scores) for _ in range(count)]) / 10_000
        truth.append(Boxes(drawn, true_class, difficult=hard))
        found.append(Boxes(guess, guessed, score))
    groups = tuple(f"coil {row // 2}" if row < 6 else None for row in range(images))
    return table_of(truth, found, groups)


def random_corners(rng, count, side):
    start, size = rng.integers(0, side - 12, (count, 2)), rng.integers(4, 13, (count, 2))
    return np.hstack([start, start + size])


def table_of(truth, found, groups=None):
    count = len(truth)
    ids = tuple(f"{row}.png" for row in range(count))
    sizes = ((300, 300),) * count
    return DetectionTable(ids, tuple(map(Path, ids)), sizes, NAMES, tuple(truth), tuple(found), groups)


def common(a, b):
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))


def size(box):
    return (box[2] - box[0]) * (box[3] - box[1])


def iou(a, b):
    return common(a, b) / (size(a) + size(b) - common(a, b))


def judged(table, label, least):
    """Each found box that counts as (score, hit), the surest first, and how many there were to find."""
    verdicts, total = [], 0
    for truth, found in zip(table.truth, table.found, strict=True):
        drawn = [(box, hard) for box, c, hard in zip(truth.xyxy.tolist(), truth.class_id, truth.difficult, strict=True)
                 if c == label]  # fmt: skip
        open_boxes = [box for box, hard in drawn if not hard]
        regions = [box for box, hard in drawn if hard]
        total += len(open_boxes)
        guesses = zip(found.score.tolist(), found.xyxy.tolist(), found.class_id, strict=True)
        mine = sorted(((score, box) for score, box, c in guesses if c == label), reverse=True)
        for score, box in mine[:100]:
            best = -1
            for i, other in enumerate(open_boxes):
                if iou(box, other) >= least and (best < 0 or iou(box, other) >= iou(box, open_boxes[best])):
                    best = i
            if best >= 0:
                open_boxes.pop(best)
                verdicts.append((score, True))
            elif not any(common(box, region) / size(box) >= least for region in regions):
                verdicts.append((score, False))
    return sorted(verdicts, key=lambda verdict: -verdict[0]), total


def slow_curve(verdicts, total):
    """Precision and score at each of the 101 recalls."""
    if not total:
        return np.full((2, 101), np.nan)
    points, hits = [], 0
    for count, (score, hit) in enumerate(verdicts, start=1):
        hits += hit
        points.append((hits / total, hits / count, score))
    curve = []
    for recall in RECALLS:
        reached = [point for point in points if point[0] >= recall]
        curve.append((max(point[1] for point in reached), reached[0][2]) if reached else (0.0, np.nan))
    return np.array(curve).T


def slow_ap(table, least):
    return [slow_curve(*judged(table, label, least))[0].mean() for label in range(len(NAMES))]


def mean_of_defined(values):
    kept = [value for value in values if not np.isnan(value)]
    return sum(kept) / len(kept) if kept else np.nan


TABLES = {
    "usual": random_table(0),
    "another": random_table(1),
    "one image": random_table(2, images=1),
    "crowded": random_table(3, images=3, side=60, most=(150, 600)),
    "many": random_table(4, images=40),
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_average_precision_is_that_of_coco_written_out(table):
    ours = table.evaluate(thresholds=dict.fromkeys(NAMES, 0.5), resamples=2)
    slow = np.array([slow_ap(table, least) for least in IOUS])
    assert_allclose(ours.ap50, slow[0], atol=1e-12)
    assert_allclose(ours.ap50_95, slow.mean(0), atol=1e-12)
    assert ours.map50 == pytest.approx(mean_of_defined(slow[0]), abs=1e-12)
    assert ours.map50_95 == pytest.approx(mean_of_defined(slow.mean(0)), abs=1e-12)
    fast = np.stack([average_precision(class_matches(table, label)) for label in range(len(NAMES))], axis=1)
    assert_allclose(fast, slow, atol=1e-12)
    assert np.isnan(ours.ap50[3])


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_the_curve_is_that_of_coco_written_out(table):
    ours = table.evaluate(thresholds=dict.fromkeys(NAMES, 0.5), resamples=2)
    slow = np.stack([slow_curve(*judged(table, label, 0.5)) for label in range(len(NAMES))], axis=1)
    assert_allclose(ours.curve_precision, slow[0], atol=1e-12)
    # Recall 0 is reached by any box, also by one that does not count.
    assert_allclose(ours.curve_score[:, 1:], np.where(slow[0] > 0, slow[1], np.nan)[:, 1:])


def test_more_than_a_hundred_boxes_of_a_class_in_an_image_are_among_these_cases():
    assert max(np.bincount(found.class_id).max() for found in TABLES["crowded"].found) > 110


def rebuilt(table, group, counts):
    rows = [row for row in range(len(table)) for _ in range(int(counts[group[row]]))]
    return table_of([table.truth[row] for row in rows], [table.found[row] for row in rows])


@pytest.mark.parametrize("name", ["usual", "another"])
def test_a_fast_resample_is_the_score_of_a_really_rebuilt_table(name):
    table = TABLES[name]
    group = group_index(table.groups, len(table))
    fast = np.stack(
        [resampled_ap(class_matches(table, label), group, seed=5, resamples=25) for label in range(len(NAMES))], axis=2
    )
    draws = np.concatenate(list(group_draws(int(group.max()) + 1, seed=5, resamples=25)))
    slow = [[slow_ap(rebuilt(table, group, counts), IOUS[t]) for t in (0, 4, 9)] for counts in draws]
    assert_allclose(fast[:, [0, 4, 9]], slow, atol=1e-12)


def test_where_errors_are_not_rare_the_interval_is_that_of_rebuilt_tables():
    table = random_table(6, images=90, most=(2, 6))
    ours = table.evaluate(thresholds=dict.fromkeys(NAMES, 0.5), seed=3, resamples=40)
    group = group_index(table.groups, len(table))
    draws = np.concatenate(list(group_draws(int(group.max()) + 1, seed=3, resamples=40)))
    slow = np.array([slow_ap(rebuilt(table, group, counts), 0.5) for counts in draws])
    means = [mean_of_defined(row) for row in slow]
    assert_allclose(ours.intervals["map50"], np.quantile(means, [0.025, 0.975]), atol=1e-12)
    assert np.isnan(ours.intervals["ap50/unseen"]).all()


def best_f1(verdicts, total):
    """The best F1 and the lowest score let in to reach it, of equal ones the highest."""
    candidates = []
    for least in sorted({score for score, _ in verdicts}, reverse=True):
        hits = [hit for score, hit in verdicts if score >= least]
        candidates.append((2 * sum(hits) / (len(hits) + total), least))
    return max(candidates)


@pytest.mark.parametrize("name", ["usual", "another", "many"])
def test_a_chosen_threshold_reaches_the_best_f1_of_all(name):
    table = TABLES[name]
    chosen = choose_thresholds(table)
    for label, key in enumerate(NAMES[:3]):
        verdicts, total = judged(table, label, 0.5)
        _, last_in = best_f1(verdicts, total)
        every = table_scores(table, label)
        first_out = max([score for score in every if score < last_in], default=0.0)
        assert chosen[key] == pytest.approx((last_in + first_out) / 2, abs=1e-9)
    assert chosen["unseen"] == 0.5


def table_scores(table, label):
    return [score for found in table.found for score in found.score[found.class_id == label].tolist()]


def test_crossfitted_thresholds_are_those_of_the_table_without_the_image():
    table = TABLES["another"]
    group = group_index(table.groups, len(table))
    ours = crossfit_thresholds(table, parts=len(table))
    for row in range(len(table)):
        others = rebuilt(table, group, np.arange(group.max() + 1) != group[row])
        assert_allclose(ours[row], list(choose_thresholds(others).values()))


@pytest.mark.parametrize("name", ["usual", "crowded"])
def test_covered_areas_are_counts_of_pixels(name):
    table = TABLES[name]
    ours = covered_areas(table)
    for row, (truth, found) in enumerate(zip(table.truth, table.found, strict=True)):
        for label in range(len(NAMES)):
            mine = truth.class_id == label
            drawn, hard = (raster(truth.xyxy[mine & flag]) for flag in (~truth.difficult, truth.difficult))
            covered = raster(found.xyxy[found.class_id == label]) & (drawn | ~hard)
            assert_allclose(ours[row, label], [drawn.sum(), covered.sum(), (drawn & covered).sum()])


def raster(boxes):
    pixels = np.zeros((80, 80), bool)  # moved by 2: a box may start at -1
    for left, top, right, bottom in boxes.astype(int) + 2:
        pixels[top:bottom, left:right] = True
    return pixels


def test_a_written_file_scores_the_same_in_a_coco_library(tmp_path):
    table = TABLES["usual"]
    write_coco_results(tmp_path / "found.json.gz", table)
    document = json.loads(gzip.decompress((tmp_path / "found.json.gz").read_bytes()))
    truth = [
        {"image_id": i, "category_id": int(c) + 1, "bbox": [x, y, r - x, b - y], "area": (r - x) * (b - y),
         "iscrowd": int(hard)}
        for i, row in enumerate(table.truth, start=1)
        for (x, y, r, b), c, hard in zip(row.xyxy.tolist(), row.class_id, row.difficult, strict=True)
    ]  # fmt: skip
    annotations = [{"id": i, **one} for i, one in enumerate(truth, start=1)]
    known = coco_api.COCO({**document, "annotations": annotations}, print_function=lambda *_: None)
    run = coco_api.COCOeval_faster(
        known, known.loadRes(document["annotations"]), iouType="bbox", print_function=lambda *_: None
    )
    run.evaluate()
    run.accumulate()
    run.summarize()
    ours = table.evaluate(thresholds=dict.fromkeys(NAMES, 0.5), resamples=2)
    assert_allclose(run.stats[:2], [ours.map50_95, ours.map50])
