import numpy as np
import pytest

from millscale.explain.fill import filled, seen_through


def test_the_mean_colour_hides_with_the_mean_of_each_channel():
    image = np.array([[[0, 10, 255], [10, 20, 255]], [[20, 30, 255], [31, 40, 254]]], np.uint8)
    hidden = filled(image, "mean")
    assert hidden.shape == image.shape
    assert {tuple(pixel) for pixel in hidden.reshape(-1, 3).tolist()} == {(15, 25, 255)}  # of 15.25, 25, 254.75


def test_a_blur_takes_the_texture_and_keeps_the_brightness_of_the_place():
    image = np.zeros((100, 100, 3), np.uint8)
    image[::2, :50], image[::2, 50:] = 80, 200  # stripes of mean 40 and 100
    hidden = filled(image, "blur").astype(int)
    assert np.abs(np.diff(hidden, axis=0)).max() <= 3
    np.testing.assert_allclose(hidden[30:70, 5], 40, atol=3)
    np.testing.assert_allclose(hidden[30:70, 95], 100, atol=3)


@pytest.mark.parametrize(("share", "grey"), [(1, 100), (0, 201), (0.25, 176), (0.5, 150)])
def test_a_mask_mixes_without_running_over(share, grey):
    image, hidden = np.full((2, 2, 3), 100, np.uint8), np.full((2, 2, 3), 201, np.uint8)
    seen = seen_through(image, hidden, np.full((2, 2), share, np.float32))
    assert seen.dtype == np.uint8
    assert (seen == grey).all()  # 175.75, and 150.5 to the even neighbour


def test_a_mask_acts_pixel_by_pixel():
    image, hidden = np.full((1, 2, 3), 7, np.uint8), np.full((1, 2, 3), 90, np.uint8)
    assert seen_through(image, hidden, np.array([[1.0, 0.0]]))[0, :, 0].tolist() == [7, 90]
