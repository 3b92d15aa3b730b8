import numpy as np
import pytest

from millscale.train.views import ViewConfig, draw_view

PLAIN = ViewConfig(size=32, photographs=1.0, mixed=0.0, inverted=0.0, blurred=0.0, noisy=0.0, compressed=0.0)


def test_a_view_depends_on_seed_and_index_alone():
    alone = draw_view([], ViewConfig(size=32), seed=3, index=7)
    after = [draw_view([], ViewConfig(size=32), seed=3, index=k) for k in (2, 7)][1]
    np.testing.assert_array_equal(alone, after)


@pytest.mark.parametrize("other", [{"seed": 4, "index": 7}, {"seed": 3, "index": 8}])
def test_another_seed_or_index_gives_another_view(other):
    first = draw_view([], ViewConfig(size=32), seed=3, index=7)
    assert (first != draw_view([], ViewConfig(size=32), **other)).any()


@pytest.mark.parametrize("shape", [(128, 128), (40, 90), (12, 15), (33, 31)])
def test_views_have_the_asked_size_whatever_the_photograph(shape):
    photograph = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    view = draw_view([photograph], PLAIN, seed=0, index=0)
    assert (view.shape, view.dtype) == ((32, 32), np.uint8)


def test_a_flat_photograph_stays_flat_without_noise():
    views = [draw_view([np.full((64, 64), 100, np.uint8)], PLAIN, 0, k) for k in range(5)]
    assert [np.ptp(view) for view in views] == [0] * 5


def test_the_photograph_is_not_changed():
    photograph = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    before = photograph.copy()
    draw_view([photograph], ViewConfig(size=32, photographs=1.0), seed=0, index=0)
    np.testing.assert_array_equal(photograph, before)
