import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from millscale.core.errors import DataError
from millscale.metrics import bootstrap
from millscale.metrics.bootstrap import (
    group_index,
    percentile_interval,
    proportion_interval,
    resampled_sums,
    wilson_interval,
)


def test_group_names_become_indices_and_none_stands_alone():
    assert_array_equal(group_index(["a", None, "a", None, "b"], 5), [0, 1, 0, 2, 3])
    assert_array_equal(group_index(None, 3), [0, 1, 2])


def test_number_of_groups_must_match():
    with pytest.raises(DataError, match="one group per image \\(3\\), found 2"):
        group_index(["a", "b"], 3)


def test_every_draw_takes_as_many_groups_as_there_are():
    totals = resampled_sums(np.ones((37, 1)), seed=1, resamples=50)
    assert_array_equal(totals, np.full((50, 1), 37.0))


def test_draws_do_not_depend_on_how_they_are_cut_into_blocks(monkeypatch):
    sums = np.arange(40.0).reshape(20, 2)
    whole = resampled_sums(sums, seed=3, resamples=30)
    monkeypatch.setattr(bootstrap, "_BLOCK", 7 * 20)
    assert_array_equal(resampled_sums(sums, seed=3, resamples=30), whole)


def test_same_seed_same_interval_other_seed_another():
    columns = np.random.default_rng(0).random((200, 1))

    def interval(seed):
        return percentile_interval(resampled_sums(columns, seed=seed, resamples=100)[:, 0], float(columns.sum()))

    assert interval(1) == interval(1)
    assert interval(1) != interval(2)


def test_interval_holds_its_estimate():
    values = np.linspace(2, 3, 101)
    assert_allclose(percentile_interval(values, 1.5), (1.5, 2.975))


def test_interval_of_nothing_is_undefined():
    assert np.isnan(percentile_interval(np.full(10, np.nan), 0.5)).all()
    assert np.isnan(percentile_interval(np.ones(10), float("nan"))).all()


@pytest.mark.parametrize(
    ("share", "count", "expected"),
    [  # Newcombe 1998, table I, method 3
        (81 / 263, 263, (0.2553, 0.3662)),
        (15 / 148, 148, (0.0624, 0.1605)),
        (0.0, 20, (0.0, 0.1611)),
        (1 / 29, 29, (0.0061, 0.1718)),
        (1.0, 20, (0.8389, 1.0)),
    ],
)
def test_wilson_interval(share, count, expected):
    assert_allclose(wilson_interval(share, count), expected, atol=5e-5)


def proportion(right, group):
    right, group = np.array(right, dtype=bool), np.array(group)
    sums = bootstrap.group_sums(np.stack([right, np.ones(len(right))], axis=1).astype(float), group)
    totals = resampled_sums(sums, seed=0, resamples=500)
    values, estimate = totals[:, 0] / totals[:, 1], right.mean()
    return proportion_interval(values, estimate, right, group), percentile_interval(values, estimate)


def test_no_error_at_all_is_bounded_by_the_number_of_groups_not_of_images():
    group = np.repeat(np.arange(50), 6)
    honest, plain = proportion(np.ones(300), group)
    assert plain == (1.0, 1.0)
    assert honest == (wilson_interval(1.0, 50)[0], 1.0)


def test_a_single_group_says_almost_nothing():
    honest, _ = proportion([1, 1, 1, 0], [0, 0, 0, 0])
    assert honest[0] < 0.2
    assert honest[1] > 0.97


def test_common_errors_keep_the_bootstrap():
    right = np.arange(400) % 10 > 1
    honest, plain = proportion(right, np.arange(400))
    assert honest == plain
