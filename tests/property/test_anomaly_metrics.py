from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from millscale.metrics.anomaly import AnomalyTable
from millscale.metrics.anomaly_pixels import PixelCounts
from millscale.metrics.anomaly_rates import area_under_curve, average_precision, ranked, rate_at_recall
from millscale.metrics.false_alarms import threshold_for

RANKS = ("auroc", "average_precision", "fpr95", "escape_rate", "overkill_rate")


@st.composite
def tables(draw):
    """Scores, truth, groups; with ties, constants and sides that may be empty."""
    images, spread = draw(st.integers(1, 40)), draw(st.sampled_from([0, 3, 1000]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return rng.integers(0, spread + 1, images) / 8, rng.random(images) < draw(st.floats(0, 1)), rng


def measure(scores, bad, threshold=1.0, groups=None):
    ids = tuple(map(str, range(len(scores))))
    kinds = tuple("ab"[i % 2] for i in range(len(ids)))
    paths = tuple(map(Path, ids))
    table = AnomalyTable(ids, paths, kinds, bad, np.asarray(scores, float), (None,) * len(ids), groups)
    return table.evaluate(threshold=threshold, resamples=20)


@settings(deadline=None, max_examples=60)
@given(tables())
def test_a_monotone_transformation_changes_nothing(case):
    scores, bad, _ = case
    before, after = measure(scores, bad), measure(np.expm1(scores / 50) ** 2, bad, threshold=np.expm1(1 / 50) ** 2)
    for key in RANKS:
        assert getattr(before, key) == pytest.approx(getattr(after, key))
    assert before.auroc_by_kind == pytest.approx(after.auroc_by_kind)
    assert before.intervals.keys() == after.intervals.keys()
    for key, ends in before.intervals.items():
        assert ends == pytest.approx(after.intervals[key])


@settings(deadline=None, max_examples=60)
@given(tables())
def test_flipped_scores_give_the_rest(case):
    scores, bad, _ = case
    before, after = measure(scores, bad), measure(scores.max() - scores, bad)
    if before.auroc is not None:
        assert before.auroc == pytest.approx(1 - after.auroc)
        assert before.auroc_by_kind == pytest.approx({kind: 1 - value for kind, value in after.auroc_by_kind.items()})


@settings(deadline=None, max_examples=60)
@given(tables())
def test_the_order_of_images_does_not_matter_and_numbers_stay_in_range(case):
    scores, bad, rng = case
    order = rng.permutation(len(scores))
    before, after = measure(scores, bad), measure(scores[order], bad[order])
    for key in RANKS:
        value = getattr(before, key)
        assert value == pytest.approx(getattr(after, key))
        if value is not None:
            low, high = before.intervals[key]
            assert 0 <= low <= value + 1e-12
            assert value - 1e-12 <= high <= 1


@given(st.integers(1, 30), st.integers(1, 30))
def test_a_constant_score_tells_nothing(good, bad):
    metrics = measure(np.ones(good + bad), np.arange(good + bad) < bad)
    assert metrics.auroc == 0.5
    assert metrics.average_precision == pytest.approx(bad / (good + bad))
    assert metrics.fpr95 == 1


@settings(deadline=None)
@given(tables())
def test_weights_count_as_that_many_images(case):
    scores, bad, rng = case
    times = rng.integers(0, 4, len(scores))
    times[0] = 1
    weighted, repeated = ranked(scores), ranked(np.repeat(scores, times))
    sides = [(weighted.sums(times * side), repeated.sums(np.repeat(side, times).astype(float))) for side in (bad, ~bad)]
    for figure in (area_under_curve, average_precision, rate_at_recall):
        assert_allclose(figure(sides[0][0], sides[1][0]), figure(sides[0][1], sides[1][1]), atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(-60, 60))
def test_pixel_figures_do_not_depend_on_the_scale_of_scores(seed, power):
    rng, counts = np.random.default_rng(seed), [PixelCounts(), PixelCounts()]
    for _ in range(3):
        shape = rng.integers(1, 12, 2)
        scores, mask = rng.gamma(2, size=shape).astype(np.float32), rng.random(shape) < 0.4
        counts[0].add(scores, mask)
        counts[1].add(scores * np.float32(2.0**power), mask)  # powers of two move all bins alike
    first, second = (one.evaluate(resamples=10) for one in counts)
    assert_allclose(list(first.values.values()), list(second.values.values()), atol=1e-12)
    assert_allclose(list(first.intervals.values()), list(second.intervals.values()), atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_pixel_figures_stay_in_range_and_flip(seed):
    rng, counts = np.random.default_rng(seed), [PixelCounts(), PixelCounts()]
    for _ in range(2):
        shape = rng.integers(2, 12, 2)
        scores, mask = 2.0 ** rng.integers(0, 5, shape), rng.random(shape) < 0.5
        mask[0, :2] = True, False
        counts[0].add(scores, mask)
        counts[1].add(1 / scores, mask)
    first, second = (one.evaluate(resamples=10) for one in counts)
    assert first.values["pixel_auroc"] == pytest.approx(1 - second.values["pixel_auroc"])
    for key, value in first.values.items():
        low, high = first.intervals[key]
        assert 0 <= low <= value <= high <= 1


SHAPES = {
    "gamma": stats.gamma(4),
    "exponential": stats.gamma(1),
    "lognormal": stats.lognorm(0.5),
    "gaussian": stats.norm(10, 1),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("images", [50, 99, 150, 400, 1000])
def test_as_many_good_images_are_rejected_as_asked(shape, images):
    rng = np.random.default_rng(images)
    realised, covered = [], []
    for _ in range(100):
        chosen = threshold_for(SHAPES[shape].rvs(images, random_state=rng), None, 0.01)
        realised.append(SHAPES[shape].sf(chosen.threshold))
        covered.append(realised[-1] <= chosen.upper_bound)
    assert 0.005 < np.mean(realised) < 0.02
    assert np.mean(covered) >= 0.9


@pytest.mark.parametrize("alike", [1.0, 0.9, 0.5, 0.0])
@pytest.mark.parametrize(("groups", "images"), [(60, 6), (200, 3)])
def test_groups_of_images_are_counted_for_what_they_tell(alike, groups, images):
    rng = np.random.default_rng(groups)
    realised, covered = [], []
    for _ in range(100):
        group = np.repeat(np.arange(groups), rng.integers(1, 2 * images, groups))
        own, shared = rng.normal(size=len(group)), rng.normal(size=groups)[group]
        chosen = threshold_for(np.exp(0.4 * (alike**0.5 * shared + (1 - alike) ** 0.5 * own)), group, 0.01)
        realised.append(stats.norm.sf(np.log(chosen.threshold) / 0.4))
        covered.append(realised[-1] <= chosen.upper_bound)
    assert 0.005 < np.mean(realised) < 0.02
    assert np.mean(covered) >= 0.9


@settings(deadline=None)
@given(tables(), st.floats(0.001, 0.6))
def test_no_more_held_out_images_are_rejected_than_were_asked_for(case, rate):
    scores, _, _ = case
    if len(np.unique(scores)) < 2:
        return
    chosen = threshold_for(scores, None, rate)
    assert chosen.threshold > 0
    assert chosen.expected_rate <= rate + 1e-9
    assert (scores >= chosen.threshold).sum() <= rate * (len(scores) + 1) + 1
    assert chosen.expected_rate <= chosen.upper_bound + 1e-9 or chosen.extrapolated
