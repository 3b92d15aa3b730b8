import json

import numpy as np
import pytest

from millscale.core.errors import ModelError, UsageError
from millscale.imaging.preprocess import Geometry, Preprocess

IMAGE = np.random.default_rng(3).integers(0, 256, (20, 40, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "preprocess", [Preprocess(), Preprocess("resize", (20, 40)), Preprocess("letterbox", (20, 40))]
)
def test_an_image_of_the_right_size_passes_bit_for_bit(preprocess: Preprocess) -> None:
    tensor, geometry = preprocess.apply(IMAGE)
    np.testing.assert_array_equal(tensor, IMAGE)
    assert geometry == Geometry()


def test_grey_becomes_three_equal_channels() -> None:
    tensor, _ = Preprocess().apply(IMAGE[..., 0])
    np.testing.assert_array_equal(tensor, IMAGE[..., [0, 0, 0]])
    assert tensor.flags.c_contiguous


def test_resize_maps_each_axis_by_itself() -> None:
    tensor, geometry = Preprocess("resize", (10, 80)).apply(IMAGE)
    assert tensor.shape == (10, 80, 3)
    np.testing.assert_array_equal(geometry.to_tensor(np.array([[10.0, 4, 20, 20]])), [[20, 2, 40, 10]])


def test_shrinking_averages_instead_of_skipping_pixels() -> None:
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255
    tensor, _ = Preprocess("resize", (64, 8)).apply(stripes)
    assert np.abs(tensor[:, 1:-1].astype(int) - 127).max() <= 8


def test_letterbox_keeps_proportions_and_pads_with_114() -> None:
    tensor, geometry = Preprocess("letterbox", (40, 40)).apply(IMAGE)
    np.testing.assert_array_equal(tensor[10:30], IMAGE)
    assert (tensor[:10] == 114).all()
    assert (tensor[30:] == 114).all()
    assert geometry == Geometry(1.0, 1.0, 0, 10)


def test_card_round_trip_through_json() -> None:
    preprocess = Preprocess("letterbox", (224, 192), (0.5, 0.25, 0.125), (1.0, 2.0, 3.0))
    assert Preprocess.from_json(json.loads(json.dumps(preprocess.to_json()))) == preprocess
    assert Preprocess.from_json(json.loads(json.dumps(Preprocess().to_json()))) == Preprocess()


@pytest.mark.parametrize(
    "change",
    [{"policy": "crop"}, {"size": [0, 5]}, {"std": [1, 1, 0]}, {"mean": 3}, {"crop": 1}, {"size": "big"}],
)
def test_a_card_with_other_values_is_refused(change: dict[str, object]) -> None:
    values = Preprocess("resize", (8, 8)).to_json() | change
    with pytest.raises(ModelError, match="Preprocessing"):
        Preprocess.from_json(values)


@pytest.mark.parametrize(("policy", "size"), [("native", (8, 8)), ("resize", None), ("letterbox", (0, 8))])
def test_policy_and_size_must_agree(policy: str, size: tuple[int, int] | None) -> None:
    with pytest.raises(UsageError, match="Preprocess"):
        Preprocess(policy, size)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.float32), *(np.zeros(shape, np.uint8) for shape in ((4, 4, 4), (4,), (0, 4), (4, 0, 3)))],
)
def test_other_arrays_are_refused(image: np.ndarray) -> None:
    with pytest.raises(UsageError, match="read_image"):
        Preprocess().apply(image)
