import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from millscale.imaging.preprocess import Geometry, Preprocess

SIDES = st.integers(1, 60)
LONG_SIDES = st.integers(1, 5000)
POLICIES = st.sampled_from(["resize", "letterbox"])


@given(
    st.builds(Geometry, *[st.floats(0.01, 100)] * 2, *[st.floats(-5000, 5000)] * 2),
    st.lists(st.tuples(*[st.floats(0, 10_000, width=32)] * 4), max_size=5),
)
def test_boxes_come_back_from_the_tensor(geometry: Geometry, boxes: list[tuple[float, ...]]) -> None:
    original = np.array(boxes, np.float32).reshape(-1, 4)
    back = geometry.to_original(geometry.to_tensor(original))
    # One float32 rounding in the tensor, seen from the original's side.
    reach = np.abs(original).max(initial=1) * max(geometry.scale_x, geometry.scale_y) + 5000
    error = 2.0**-22 * reach / min(geometry.scale_x, geometry.scale_y)
    np.testing.assert_allclose(back, original, rtol=1e-6, atol=error)


@settings(deadline=None)
@given(SIDES, SIDES, POLICIES, SIDES, SIDES)
def test_the_whole_image_maps_into_the_tensor(h: int, w: int, policy: str, height: int, width: int) -> None:
    image: npt.NDArray[np.uint8] = np.full((h, w), 200, np.uint8)
    tensor, geometry = Preprocess(policy, (height, width)).apply(image)  # type: ignore[arg-type]
    assert tensor.shape == (height, width, 3)
    left, top, right, bottom = geometry.to_tensor(np.array([[0.0, 0, w, h]]))[0]
    inside = np.full((height, width, 3), 114)
    inside[round(top) : round(bottom), round(left) : round(right)] = 200
    np.testing.assert_array_equal(tensor, inside)


@settings(deadline=None, max_examples=40)
@given(LONG_SIDES, LONG_SIDES, st.integers(64, 160), st.lists(st.tuples(*[st.floats(0, 1)] * 4), max_size=4))
def test_area_gives_every_image_as_many_pixels(h: int, w: int, side: int, boxes: list[tuple[float, ...]]) -> None:
    tensor, geometry = Preprocess("area", (side, side)).apply(np.full((h, w), 200, np.uint8))
    height, width, _ = tensor.shape
    assert (height % 8, width % 8) == (0, 0)
    assert min(height, width) >= 32
    # Each side is rounded to the next multiple of 8, by an eighth at most where it is 32.
    assert 0.75 * side**2 <= height * width <= 1.27 * side**2
    if max(h, w) <= min(h, w) * (side / 40) ** 2:
        assert 0.75 <= (width / height) / (w / h) <= 1.33
    original = (np.array(boxes).reshape(-1, 4) * [w, h, w, h]).astype(np.float32)
    inside = geometry.to_tensor(original)
    assert (inside <= np.array([width, height, width, height]) * (1 + 1e-6)).all()
    np.testing.assert_allclose(geometry.to_original(inside), original, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(geometry.to_tensor(np.array([[0.0, 0, w, h]])), [[0, 0, width, height]], rtol=1e-6)


@settings(deadline=None)
@given(SIDES, SIDES, st.sampled_from(["resize", "letterbox", "fit"]), SIDES, SIDES, st.booleans())
def test_grey_is_scaled_to_the_same_bits_however_it_is_stored(
    h: int, w: int, policy: str, height: int, width: int, coloured: bool
) -> None:
    grey = np.random.default_rng(h * w).integers(0, 256, (h, w), np.uint8)
    image = np.repeat(grey[..., None], 3, axis=2)
    image[-1, -1, 2] ^= coloured  # a single pixel with a hue
    preprocess = Preprocess(policy, (height, width))  # type: ignore[arg-type]
    tensor, geometry = preprocess.apply(image)
    alone, same = preprocess.apply(grey)
    assert geometry == same
    np.testing.assert_array_equal(tensor[..., :2], alone[..., :2])
    assert np.abs(tensor[..., 2].astype(int) - alone[..., 2]).max() <= coloured
