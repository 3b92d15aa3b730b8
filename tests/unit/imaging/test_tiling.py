from itertools import pairwise

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millscale.core.errors import UsageError
from millscale.imaging.tiling import STEP, Tiling, check_tile, framed, windows_of

sides = st.integers(1, 3000)
tilings = st.builds(Tiling, st.integers(64, 2000), st.integers(4, 40).map(lambda n: n * STEP))


@given(tilings, sides, sides)
@settings(max_examples=200, deadline=None)
def test_windows_lie_inside_and_overlap_and_leave_nothing_out(tiling: Tiling, height: int, width: int) -> None:
    whole = tiling.size((height, width))
    windows = tiling.windows((height, width))
    for axis in (0, 1):
        spans = sorted({(window[axis], window[axis + 2]) for window in windows})
        length = whole[1 - axis]
        assert (spans[0][0], spans[-1][1]) == (0, length)
        assert all(end - start == min(tiling.working, length) for start, end in spans)
        shared = [before[1] - after[0] for before, after in pairwise(spans)]
        assert min(shared, default=tiling.working) >= tiling.working // 4 - STEP
        assert all(edge % STEP == 0 for span in spans for edge in span)


@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_maps_cut_out_of_one_are_blended_into_it(height: int, width: int, seed: int) -> None:
    tiling = Tiling(64, 64)
    shape = [side // STEP for side in tiling.size((height, width))]
    whole = np.random.default_rng(seed).random(shape).astype(np.float32)
    maps = [
        whole[top // STEP : bottom // STEP, left // STEP : right // STEP]
        for left, top, right, bottom in tiling.windows((height, width))
    ]
    np.testing.assert_allclose(tiling.blended(maps, (height, width)), whole, rtol=1e-6)


def test_there_is_no_seam_where_windows_disagree() -> None:
    tiling = Tiling(128, 128)
    maps = [np.full((16, 16), float(k), np.float32) for k, _ in enumerate(tiling.windows((128, 480)))]
    row = tiling.blended(maps, (128, 480))[8]
    assert (row[0], row[-1]) == (0, len(maps) - 1)
    assert np.abs(np.diff(row)).max() < 0.5


@pytest.mark.parametrize("shape", [(300, 500), (300, 500, 3)])
def test_a_window_is_the_part_of_the_resized_picture(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (6, 10, 3)).astype(np.uint8)
    image = np.asarray(PIL.Image.fromarray(coarse).resize((500, 300), PIL.Image.Resampling.BICUBIC))[..., : shape[-1]]
    image = image if len(shape) == 3 else image[:, :, 0]
    tiling = Tiling(200, 128)
    height, width = tiling.size((300, 500))
    assert (height, width) == (192, 320)
    whole = np.asarray(PIL.Image.fromarray(image).resize((width, height), PIL.Image.Resampling.BILINEAR))
    for window in tiling.windows((300, 500)):
        left, top, right, bottom = window
        cut = tiling.cut(image, window)
        assert cut.shape == (bottom - top, right - left, 3)
        expected = whole[top:bottom, left:right]
        expected = expected if expected.ndim == 3 else np.repeat(expected[..., None], 3, 2)
        # Only at the edge of a window is less known than in the whole picture.
        np.testing.assert_allclose(cut[4:-4, 4:-4].astype(int), expected[4:-4, 4:-4].astype(int), atol=2)


@given(sides, sides, st.integers(64, 2000))
@settings(max_examples=100, deadline=None)
def test_windows_of_the_original_cover_it_and_share_a_quarter(height: int, width: int, side: int) -> None:
    windows = windows_of((height, width), side)
    for axis, length in ((0, width), (1, height)):
        spans = sorted({(window[axis], window[axis + 2]) for window in windows})
        assert (spans[0][0], spans[-1][1]) == (0, length)
        assert all(end - start == min(side, length) for start, end in spans)
        assert min((before[1] - after[0] for before, after in pairwise(spans)), default=side) >= side // 4 - 1


@pytest.mark.parametrize("colours", [(), (3,)])
def test_a_frame_is_the_window_and_grey_beyond_the_picture(colours: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (50, 90, *colours)).astype(np.uint8)
    np.testing.assert_array_equal(framed(image, (26, 0, 66, 40), 40), image[:40, 26:66])
    whole = framed(image, (0, 0, 64, 50), 64)
    assert whole.shape == (64, 64, *colours)
    np.testing.assert_array_equal(whole[:50], image[:, :64])
    assert (whole[50:] == 114).all()


@pytest.mark.parametrize(
    ("tile", "size", "message"), [(63, 64, "tile: expected 0"), (64, 257, "size: expected at most 4")]
)
def test_windows_that_are_too_small_are_refused(tile: int, size: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_tile(tile, size)
    check_tile(0, 4096)
    check_tile(64, 256)
