from dataclasses import replace

import numpy as np
from numpy.testing import assert_array_equal

from millscale.report.selection import choose, closest_calls, even_sample, neighbours_of


def test_sample_takes_the_classes_in_turn(build):
    table = build(images=30)
    rows = even_sample(table, 12, seed=3)
    assert_array_equal(table.y_true[rows], [0, 1, 2] * 4)
    assert len(set(rows.tolist())) == 12


def test_sample_is_seeded(build):
    table = build(images=60)
    assert_array_equal(even_sample(table, 9, seed=1), even_sample(table, 9, seed=1))
    assert not np.array_equal(even_sample(table, 9, seed=1), even_sample(table, 9, seed=2))


def test_sample_goes_on_with_the_other_classes_when_one_runs_out_and_skips_the_unlabelled(build):
    table = replace(build(images=9), labels=("Crazing", *["Inclusion"] * 4, *[None] * 4))
    assert_array_equal(table.y_true[even_sample(table, 20)], [0, 1, 1, 1, 1])


def test_closest_calls_are_the_least_sure_right_answers(build):
    table = build(images=6, errors=1)
    probs = table.probs.copy()
    probs[4] = [0.2, 0.6, 0.2]
    probs[2] = [0.15, 0.15, 0.7]
    assert_array_equal(closest_calls(replace(table, probs=probs), 2), [4, 2])


def test_missing_neighbours_are_left_out(build):
    table = build()
    near = replace(table.nearest, index=np.where(np.arange(2) == 0, table.nearest.index, -1))
    assert neighbours_of(replace(table, nearest=near), 3, 5) == [(4, 0.75)]
    assert neighbours_of(replace(table, nearest=None), 3, 5) == []


def test_gallery_holds_errors_or_else_the_closest_calls(build):
    wanted = {"grid": 3, "errors": 2, "calls": 4, "nearest": 2}
    assert_array_equal(choose(build(errors=5), **wanted).gallery, [0, 1])
    assert len(choose(build(errors=0), **wanted).gallery) == 4


def test_only_what_is_shown_is_read(build):
    table = build(images=40, errors=1)
    shown = choose(table, grid=3, errors=5, calls=0, nearest=2)
    assert set(shown.thumbnails) == {table.paths[i] for i in (*shown.grid, 0, 1, 2)}
