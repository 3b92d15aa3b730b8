from dataclasses import replace

import numpy as np
import pytest

from millscale.core.errors import DataError
from millscale.train.targets import TargetConfig, averaged, fingerprint, make_targets, normalised, pooled
from millscale.train.views import ViewConfig

CONFIG = TargetConfig(views=60, map_side=(8, 4), view=ViewConfig(size=32))


def test_averaged_takes_the_mean_of_blocks_and_moves_channels_last():
    features = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    np.testing.assert_array_equal(averaged(features, 2)[0, :, :, 0], [[2.5, 4.5], [10.5, 12.5]])


def test_pooled_is_mean_then_deviation_of_every_map():
    one = np.array([[[[0, 2], [0, 2]]]], dtype=np.float32)
    two = np.array([[[[5]], [[7]]]], dtype=np.float32)
    np.testing.assert_array_equal(pooled([one, two]), [[1, 1, 5, 7, 0, 0]])


def test_normalised_is_zero_at_the_imagenet_mean_of_each_channel():
    grey = np.full((1, 2, 2), 124, np.uint8)
    np.testing.assert_allclose(normalised(grey)[0, :, 0, 0], [0.0056, 0.1352, 0.3566], atol=1e-3)


def test_targets_are_what_the_teachers_say(tmp_path, tiny_teacher):
    teachers = (tiny_teacher(1), tiny_teacher(2))
    targets = make_targets(tmp_path, teachers, [], CONFIG)
    assert [m.shape for m in targets.maps] == [(60, 8, 8, 3), (60, 4, 4, 5)]
    assert targets.pooled.shape == (60, 2 * 2 * (3 + 5))
    np.testing.assert_allclose(targets.maps[1][:, :, :, 0].mean((1, 2)), targets.pooled[:, 6], atol=2e-3)


def test_an_interrupted_run_goes_on_and_ends_the_same(tmp_path, tiny_teacher):
    teachers = (tiny_teacher(1),)
    whole = make_targets(tmp_path / "whole", teachers, [], CONFIG)
    parted = make_targets(tmp_path / "parted", teachers, [], CONFIG)
    parted.pooled[50:] = 0
    parted.views[50:] = 0
    (tmp_path / "parted" / "done").write_text("50")
    again = make_targets(tmp_path / "parted", teachers, [], CONFIG)
    np.testing.assert_array_equal(again.pooled, whole.pooled)
    np.testing.assert_array_equal(again.views, whole.views)


def test_a_folder_of_other_targets_is_refused(tmp_path, tiny_teacher):
    make_targets(tmp_path, (tiny_teacher(1),), [], CONFIG)
    with pytest.raises(DataError, match="another"):
        make_targets(tmp_path, (tiny_teacher(1),), [], replace(CONFIG, seed=1))


@pytest.mark.parametrize(
    ("photographs", "config"),
    [
        ([np.full((40, 40), 9, np.uint8)], CONFIG),
        ([], replace(CONFIG, seed=1)),
        ([], replace(CONFIG, view=ViewConfig(size=32, noisy=1.0))),
    ],
)
def test_the_fingerprint_changes_with_what_views_are_made_of(photographs, config):
    assert fingerprint(photographs, config) != fingerprint([], CONFIG)
    assert fingerprint([], CONFIG) == fingerprint([], CONFIG)
