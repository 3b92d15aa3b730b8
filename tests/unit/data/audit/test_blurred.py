import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millscale.data.audit.blurred import BLOCK, MOST_BLOCKS, agree, autocorrelation, is_hopeless, quantile
from millscale.data.audit.keypoints import BAND_MARGIN, band_pass


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


def test_only_pictures_that_disagree_in_most_blocks_are_hopeless() -> None:
    rng = np.random.default_rng(1)
    first, second = (band_pass(rng.normal(128, 20, (120, 100)).astype(np.float32)) for _ in "ab")
    noisy = first + rng.normal(0, first.std() / 2, first.shape).astype(np.float32)
    assert is_hopeless(first, second)
    assert not is_hopeless(first, noisy)
    assert not is_hopeless(np.zeros_like(first), np.zeros_like(first))  # nothing to judge by: all must be compared
    assert not is_hopeless(first[:20], second[:20])


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    return float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))


@pytest.mark.parametrize("shape", [(60, 40), (9, 100), (40, 700)])
def test_agreement_is_that_of_blocks_compared_one_by_one(shape: tuple[int, int]) -> None:
    """Against loops over the blocks, and where a side has more of them than are looked at, over those spread evenly."""
    rng = np.random.default_rng(2)
    a, noise = (rng.normal(128, 20, shape).astype(np.float32) for _ in "ab")
    b = a + noise / 2
    x, y = (picture - np.float32(128) for picture in (a, b))
    found = agree(np.pad(a, BAND_MARGIN), x, np.pad(b, BAND_MARGIN), y)
    starts = []
    for length in shape:
        count = min(MOST_BLOCKS, max(1, length // BLOCK))
        step = (length - min(BLOCK, length)) // max(1, count - 1)
        starts.append([(i * step, i * step + min(BLOCK, length)) for i in range(count)])
    parts = [np.s_[top:bottom, left:right] for top, bottom in starts[0] for left, right in starts[1]]
    expected = [correlation(x[part], y[part]) for part in parts]
    light = [float((a[part] - b[part]).mean()) for part in parts]
    assert found is not None
    assert found.blocks == len(parts)
    assert found.median == pytest.approx(np.median(expected), abs=1e-4)
    assert found.low == pytest.approx(np.quantile(expected, 0.2), abs=1e-4)
    assert found.brightness == pytest.approx(np.sqrt(np.mean(np.square(light))), rel=1e-4)


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=30), st.sampled_from([0.0, 0.2, 0.5, 1.0]))
def test_quantile(values: list[float], share: float) -> None:
    assert quantile(np.array(values, np.float32), share) == pytest.approx(np.quantile(values, share), abs=1e-6)
