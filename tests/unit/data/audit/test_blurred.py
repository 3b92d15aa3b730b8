import numpy as np
import pytest

from millscale.data.audit.blurred import MIDDLE, autocorrelation, is_hopeless


@pytest.mark.parametrize("shape", [(9, 12), (16, 7)])
def test_each_lag_is_a_mean_over_the_pixels_that_meet(shape: tuple[int, int]) -> None:
    band = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    height, width = shape
    found = autocorrelation(band)
    for dy in range(-(height // 2), (height + 1) // 2):
        for dx in range(-(width // 2), (width + 1) // 2):
            one = band[max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)]
            other = band[max(0, -dy) : height + min(0, -dy), max(0, -dx) : width + min(0, -dx)]
            expected = (one * other).mean() / (band * band).mean()
            assert found[height // 2 + dy, width // 2 + dx] == pytest.approx(expected, abs=1e-5)


def test_only_pictures_that_disagree_in_the_middle_are_hopeless() -> None:
    rng = np.random.default_rng(1)
    first, second = (rng.normal(128, 20, (2 * MIDDLE, 100)).astype(np.float32) for _ in "ab")
    noisy = first + rng.normal(0, 10, first.shape).astype(np.float32)
    assert is_hopeless(first, second)
    assert not is_hopeless(first, noisy)
    flat = np.full_like(first, 128)
    assert not is_hopeless(flat, flat + 1)  # nothing to judge by: the whole must be compared
    assert not is_hopeless(first[:12], second[:12])
