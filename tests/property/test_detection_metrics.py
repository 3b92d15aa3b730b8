from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from millscale.core.types import Boxes
from millscale.metrics.detection_thresholds import choose_thresholds
from millscale.metrics.detections import DetectionTable

pytest.importorskip("faster_coco_eval")

FEW = settings(deadline=None, max_examples=40)


@st.composite
def tables(draw):
    """Up to six images with fractional corners and unequal scores, so that nothing hangs on how ties fall.

    Two boxes in three are found near a true one; a sixth of the true boxes is difficult.
    """
    images, classes = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    truth = [corners(rng, rng.integers(0, 5)) for _ in range(images)]
    near = [drawn[rng.random(len(drawn)) < 0.8] for drawn in truth]
    guesses = [np.vstack([b + rng.normal(0, 1, b.shape), corners(rng, rng.integers(0, 3))]) for b in near]
    scores = iter(rng.permutation(100) / 128 + 1 / 128)
    hard = [rng.random(len(drawn)) < 1 / 6 for drawn in truth]
    true_class = [rng.integers(0, classes, len(drawn)) for drawn in truth]
    guessed = [rng.integers(0, classes, len(guess)) for guess in guesses]
    found = [
        Boxes(guess, c, [next(scores) for _ in guess]) for guess, c in zip(guesses, guessed, strict=True)
    ]  # fmt: skip
    ids = tuple(f"{i}.png" for i in range(images))
    drawn = [Boxes(b, c, difficult=h) for b, c, h in zip(truth, true_class, hard, strict=True)]
    names = tuple("abc"[:classes])
    table = DetectionTable(ids, tuple(map(Path, ids)), ((64, 64),) * images, names, tuple(drawn), tuple(found))
    return table, rng


def corners(rng, count):
    start = rng.uniform(0, 30, (count, 2))
    return np.hstack([start, start + rng.uniform(6, 24, (count, 2))])


def measured(table):
    return table.evaluate(thresholds=dict.fromkeys(table.classes, 0.4), resamples=2)


def numbers(metrics):
    """All of them but the intervals: ``(K,)``, and what is per class ``(K, C)``."""
    whole = [metrics.map50, metrics.map50_95, metrics.rates.escape_rate, metrics.rates.overkill_rate]
    rates = metrics.rates
    by_class = [metrics.ap50, metrics.ap50_95, metrics.box_precision, metrics.box_recall, metrics.truths]
    by_class += [rates.image_recall, rates.image_false_alarm_rate]
    by_class += [rates.coverage_recall, rates.coverage_precision, rates.coverage_iou]
    return np.array(whole, float), np.array(by_class, float)


def assert_same(before, after, order=slice(None)):
    for one, other in zip(numbers(before), numbers(after), strict=True):
        assert_allclose(one[:, order] if one.ndim > 1 else one, other, atol=1e-9)


def picked(boxes, rows):
    return Boxes(boxes.xyxy[rows], boxes.class_id[rows], boxes.score[rows], boxes.difficult[rows])


def mapped(table, part, change):
    return replace(table, **{part: tuple(change(boxes) for boxes in getattr(table, part))})


@FEW
@given(tables())
def test_the_order_of_images_does_not_matter(drawn):
    table, rng = drawn
    order = rng.permutation(len(table))
    shuffled = replace(
        table, truth=tuple(table.truth[i] for i in order), found=tuple(table.found[i] for i in order)
    )  # fmt: skip
    before, after = measured(table), measured(shuffled)
    assert_same(before, after)
    assert_array_equal(before.confusion, after.confusion)
    assert choose_thresholds(table) == choose_thresholds(shuffled)


@FEW
@given(tables())
def test_the_order_of_boxes_does_not_matter(drawn):
    table, rng = drawn
    shuffled = table
    for part in ("truth", "found"):
        shuffled = mapped(shuffled, part, lambda boxes: picked(boxes, rng.permutation(len(boxes))))
    before, after = measured(table), measured(shuffled)
    assert_same(before, after)
    assert_array_equal(before.confusion, after.confusion)
    assert choose_thresholds(table) == choose_thresholds(shuffled)


@FEW
@given(tables())
def test_the_order_of_classes_does_not_matter(drawn):
    table, rng = drawn
    order = rng.permutation(len(table.classes))
    place = np.argsort(order)
    renamed = replace(table, classes=tuple(table.classes[i] for i in order))
    for part in ("truth", "found"):
        renamed = mapped(renamed, part, lambda boxes: replace(boxes, class_id=place[boxes.class_id]))
    before, after = measured(table), measured(renamed)
    assert_same(before, after, order)
    both = np.append(order, len(order))
    assert_array_equal(before.confusion[np.ix_(both, both)], after.confusion)


@FEW
@given(tables())
def test_the_unit_of_length_does_not_matter(drawn):
    table, _ = drawn
    larger = table
    for part in ("truth", "found"):
        larger = mapped(larger, part, lambda boxes: replace(boxes, xyxy=boxes.xyxy * 4))
    assert_same(measured(table), measured(larger))


@FEW
@given(tables())
def test_average_precision_knows_only_the_order_of_scores(drawn):
    table, _ = drawn
    squeezed = mapped(table, "found", lambda boxes: replace(boxes, score=boxes.score**3))
    before, after = measured(table), measured(squeezed)
    assert_allclose(before.ap50, after.ap50)
    assert_allclose(before.ap50_95, after.ap50_95)


@FEW
@given(tables())
def test_numbers_are_shares_and_undefined_only_without_truth(drawn):
    ours = measured(drawn[0])
    for values in numbers(ours)[1][[0, 1, 2, 3, *range(5, 10)]]:
        assert ((values >= 0) & (values <= 1) | np.isnan(values)).all()
    for values in (ours.ap50, ours.ap50_95, ours.box_recall, ours.rates.image_recall, ours.rates.coverage_recall):
        assert_array_equal(np.isnan(values), ours.truths == 0)
    assert (ours.ap50_95 <= ours.ap50 + 1e-12)[ours.truths > 0].all()
    assert_array_equal(ours.confusion[:-1].sum(1), ours.truths)


@FEW
@given(tables())
def test_a_perfect_detector_scores_one(drawn):
    table, rng = drawn
    real = [picked(boxes, ~boxes.difficult) for boxes in table.truth]
    ours = measured(replace(table, found=tuple(replace(one, score=rng.uniform(0.4, 1, len(one))) for one in real)))
    there = ours.truths > 0
    for values in (ours.ap50, ours.ap50_95, ours.box_precision, ours.box_recall, ours.rates.image_recall):
        assert_allclose(values[there], 1, atol=1e-12)
    for values in (ours.rates.coverage_recall, ours.rates.coverage_precision, ours.rates.coverage_iou):
        assert_allclose(values[there], 1, atol=1e-12)
    assert_array_equal(ours.confusion, np.diag([*ours.truths, 0]))
    assert np.nan_to_num(ours.rates.image_false_alarm_rate).sum() == 0
    assert np.nan_to_num([ours.rates.escape_rate, ours.rates.overkill_rate]).sum() == 0


def with_alarm(table, row, class_id, score):
    """One more found box, far from everything."""
    old = table.found[row]
    alarm = Boxes(
        np.vstack([old.xyxy, [[900, 900, 910, 910]]]), np.append(old.class_id, class_id), np.append(old.score, score)
    )
    return replace(table, found=(*table.found[:row], alarm, *table.found[row + 1 :]))


@FEW
@given(tables(), st.floats(0, 1, width=32))
def test_a_false_alarm_never_raises_average_precision_and_the_weakest_changes_nothing(drawn, score):
    table, rng = drawn
    row, class_id = rng.integers(len(table)), rng.integers(len(table.classes))
    before, after = measured(table), measured(with_alarm(table, row, class_id, score))
    assert (after.ap50 <= before.ap50 + 1e-12)[before.truths > 0].all()
    assert (after.ap50_95 <= before.ap50_95 + 1e-12)[before.truths > 0].all()
    least = measured(with_alarm(table, row, class_id, 0.001))
    assert_allclose(least.ap50, before.ap50, atol=1e-12)
    assert_allclose(least.ap50_95, before.ap50_95, atol=1e-12)
    first = measured(with_alarm(table, row, class_id, 1.0))
    assert (first.ap50[class_id] < before.ap50[class_id]) == (before.ap50[class_id] > 0)
    assert first.confusion[-1, class_id] == before.confusion[-1, class_id] + 1
