"""What holds for every guard, whatever the features."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from millscale.core.errors import ModelError
from millscale.learn.openset import Guarded, HeldOut, calibrate, fit_guard, guarded, moments_of, unmeasured
from millscale.runtime.card import OpenSet
from millscale.runtime.openset import FILES, Guard, Limits, ratios, read_guard

NAMES = ("a", "b", "c")
SURE = np.eye(3)[0]
quick = settings(max_examples=40, deadline=None)


def fitted(seed, n=60, d=6, classes=3):
    rng = np.random.default_rng(seed)
    targets = np.arange(n) % classes
    features = (rng.normal(size=(n, d)) + 4 * rng.normal(size=(classes, d))[targets]).astype(np.float32)
    folds = np.arange(n) // classes % 4
    distances = unmeasured(n, classes)
    for fold in range(4):
        own = folds == fold
        guard = fit_guard(moments_of(features[~own], targets[~own], classes))
        distances.relative[own], distances.plain[own] = guard.distances(features[own])
    probs = rng.dirichlet(np.ones(classes), n)
    guard = fit_guard(moments_of(features, targets, classes))
    return Guarded(guard, distances), HeldOut(probs, targets, folds), features


def limits_at(found, asked):
    """(guarded, held out, features) → what `novelty` and `ratios` take, and the card's section."""
    openset = calibrate(*found[:2], NAMES, asked)
    relative = np.array(list(openset.limits.values()))
    return Limits(relative, openset.farthest, openset.usual_doubt, openset.power), openset


@quick
@given(seed=st.integers(0, 99), direction=arrays.arrays(np.float64, 6, elements=st.floats(-1, 1)))
def test_far_enough_in_any_direction_is_unknown(seed, direction):
    if np.abs(direction).max() < 0.01:
        direction = direction + 1.0
    found = fitted(seed)
    limits, openset = limits_at(found, 0.02)
    guard = read_guard(found[0].guard.members(), openset, 3)
    novelties = [guard.novelty(guard.means[0] + factor * direction, SURE, limits) for factor in (1e5, 1e6)]
    assert all(one.unknown for one in novelties)
    assert novelties[1].ratio > novelties[0].ratio


@quick
@given(seed=st.integers(0, 99))
def test_the_mean_of_a_class_is_known_and_nearest_to_itself(seed):
    found = fitted(seed)
    limits, _ = limits_at(found, 0.02)
    for place, mean in enumerate(found[0].guard.means[1:]):
        novelty = found[0].guard.novelty(mean, SURE, limits)
        assert not novelty.unknown
        assert novelty.nearest == place


@quick
@given(seed=st.integers(0, 99), asked=st.sampled_from([0.02, 0.1, 0.3]))
def test_no_more_of_the_held_out_are_unknown_than_asked(seed, asked):
    found = fitted(seed)
    limits, openset = limits_at(found, asked)
    assert (ratios(found[0].distances, found[1].probs, limits) > 1).mean() <= asked
    assert openset.asked == asked
    assert tuple(openset.limits) == NAMES
    assert 0 <= openset.measured <= 1


@quick
@given(seed=st.integers(0, 99))
def test_a_laxer_rate_has_no_higher_limit(seed):
    limits = [limits_at(fitted(seed), asked)[0].relative for asked in (0.01, 0.05, 0.2, 0.5)]
    assert (np.diff(limits, axis=0) <= 0).all()


@quick
@given(seed=st.integers(0, 99), probs=arrays.arrays(np.float64, (60, 3), elements=st.floats(0.001, 1)))
def test_doubt_makes_an_image_farther_and_to_be_sure_makes_it_no_nearer(seed, probs):
    found = fitted(seed)
    limits, _ = limits_at(found, 0.1)
    probs = probs / probs.sum(1, keepdims=True)
    distances, sure = found[0].distances, np.tile(SURE, (60, 1))
    least, most = ratios(distances, sure, limits), ratios(distances, np.full((60, 3), 1 / 3), limits)
    between = ratios(distances, probs, limits)
    assert (least <= between).all()
    assert (between <= most * (1 + 1e-9)).all()
    unmoved = Limits(limits.relative, limits.farthest, limits.usual, 0.0)
    np.testing.assert_array_equal(least, ratios(distances, probs, unmoved))


def test_a_class_never_held_out_from_a_guard_that_knows_it_has_the_common_width():
    found = fitted(3)
    found[0].distances.relative[found[1].targets == 2, 2] = np.inf
    limits, openset = limits_at(found, 0.1)
    assert np.isfinite(limits.relative).all()
    assert min(limits.relative[:2]) <= limits.relative[2] <= max(limits.relative[:2])
    assert openset.measured < 1


def test_nothing_to_fit_on_is_no_guard():
    features, targets = np.eye(6, dtype=np.float32), np.zeros(6, np.int64)
    assert guarded(moments_of(features, targets, 2), unmeasured(6, 2), targets) is None
    assert guarded(moments_of(features, np.arange(6) % 2, 2), unmeasured(6, 2), np.arange(6) % 2) is None


@quick
@given(seed=st.integers(0, 99), factor=st.floats(0.01, 100), shift=st.floats(-10, 10))
def test_the_unit_and_origin_of_the_features_do_not_matter(seed, factor, shift):
    found, held_out, features = fitted(seed)
    other = fit_guard(moments_of((features * factor + shift).astype(np.float32), held_out.targets, 3))
    probe = np.random.default_rng(seed).normal(0, 5, (10, 6))
    a, b = found.guard.distances(probe), other.distances(probe * factor + shift)
    np.testing.assert_allclose(a.plain, b.plain, rtol=0.02)


def test_constant_features_are_no_division_by_zero_but_a_change_in_them_counts():
    features = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    features[:, 2] = 7.0
    guard = fit_guard(moments_of(features, np.arange(40) % 2, 2))
    same, changed = features[:1].astype(np.float64), features[:1].astype(np.float64)
    changed[:, 2] = 8.0
    assert guard.distances(changed).plain.min() > 10 * guard.distances(same).plain.min()


OPENSET = OpenSet(
    files=FILES, limits=dict.fromkeys(NAMES, 1.0), farthest=2.0, usual_doubt=-3, power=1, asked=0.01, measured=0.01
)


def spoilt(**changes):
    guard = fitted(0)[0].guard
    parts = {"means": guard.means, "within": guard.within, "total": guard.total} | changes
    return Guard(**parts).members()


def test_a_guard_survives_its_members():
    guard = fitted(0)[0].guard
    back = read_guard(guard.members(), OPENSET, 3)
    for name in ("means", "within", "total"):
        np.testing.assert_array_equal(getattr(back, name), getattr(guard, name))


@pytest.mark.parametrize(
    "changes",
    [
        {"means": np.full((4, 6), np.nan, np.float32)},
        {"means": np.zeros((3, 6), np.float32)},
        {"means": np.zeros((4, 7), np.float32)},
        {"means": np.zeros((4, 6), np.int64)},
        {"within": np.full((6, 4), np.inf, np.float16)},
        {"within": np.zeros((6, 9), np.float16)},
        {"total": np.zeros((6, 4, 1), np.float16)},
        {"within": np.zeros((6, 0), np.float16), "total": np.zeros((6, 0), np.float16)},
    ],
)
def test_arrays_that_do_not_go_together_are_refused(changes):
    with pytest.raises(ModelError, match="Guard: expected finite float arrays"):
        read_guard(spoilt(**changes), OPENSET, 3)


@pytest.mark.parametrize("data", [b"", b"no array", b"\x93NUMPY\x01\x00"])
def test_members_that_are_no_array_are_refused(data):
    with pytest.raises(ModelError, match=f"expected {FILES[1]} as a plain NumPy array"):
        read_guard(spoilt() | {FILES[1]: data}, OPENSET, 3)
    with pytest.raises(ModelError, match="as a plain NumPy array"):
        read_guard({}, OPENSET, 3)


@pytest.mark.parametrize("features", [np.zeros(5), np.zeros((1, 6)), np.full(6, np.nan)])
def test_features_that_do_not_fit_are_refused(features):
    with pytest.raises(ModelError, match="expected 6 finite features"):
        read_guard(spoilt(), OPENSET, 3).novelty(features, SURE, Limits(np.ones(3), 1.0, 0.0, 0.0))
