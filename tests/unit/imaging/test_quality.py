"""What the sensors of image quality read, what limits they learn, and which faults those find."""

from dataclasses import asdict, replace

import numpy as np
import PIL.Image
import pytest
from PIL import ImageFilter

from millscale.data.synthetic import KINDS, render_image
from millscale.imaging.quality import ABSOLUTE, SENSORS, _grey, fault, fit_limits, measure

RNG = np.random.default_rng(3)


def steel(seed: int, size: int = 200) -> np.ndarray:
    return np.asarray(render_image(KINDS[seed % len(KINDS)], (7, seed), size))


def pixels(values: object) -> np.ndarray:
    return np.clip(np.round(np.asarray(values)), 0, 255).astype(np.uint8)


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    return np.asarray(PIL.Image.fromarray(image).filter(ImageFilter.GaussianBlur(sigma)))


def noisy(level: float, deviation: float, shape: tuple[int, int] = (200, 200)) -> np.ndarray:
    return pixels(RNG.normal(level, deviation, shape))


@pytest.fixture(scope="module")
def proper():
    """The quality of 120 images of synthetic steel."""
    return [measure(steel(seed)) for seed in range(120)]


@pytest.fixture(scope="module")
def limits(proper):
    return fit_limits(proper)


def test_brightness_is_read_off_the_grey_levels():
    image = np.repeat(np.array([0, 100, 255], np.uint8), [100, 800, 100]).reshape(20, 50)
    found = measure(image)
    assert (found.brightness, found.shadows, found.highlights, found.contrast) == (105.5, 0, 255, 255)
    assert (found.black, found.white) == pytest.approx((0.1, 0.1))
    assert (found.size, found.aspect, found.colour) == (1000**0.5, 2.5, 0)


def test_a_ramp_has_the_sharpness_of_a_wide_blur_and_no_noise():
    ramp = np.tile(np.arange(200, dtype=np.uint8), (200, 1))  # g(h) is h² / 2: flat along columns
    found = measure(ramp)
    assert found.sharpness == pytest.approx((4 - 1) / (256 - 1), rel=5e-3)
    assert found.noise == pytest.approx(1 / 256, rel=5e-3)


@pytest.mark.parametrize("shape", [(97, 140), (30, 20), (17, 900)])
def test_texture_agrees_with_the_plain_variogram(shape):
    image = blurred(noisy(120, 60, shape), 1.2)
    values = image.astype(float)

    def variogram(lag: int) -> float:
        windows = values
        if shape[1] > 3 * 256:
            windows = np.stack([values[:, s : s + 256] for s in np.linspace(0, shape[1] - 256, 3).astype(int)])
        along = (windows[..., lag:] - windows[..., :-lag]) ** 2
        down = (windows[..., lag:, :] - windows[..., :-lag, :]) ** 2
        return (along.sum() + down.sum()) / (along.size + down.size)

    near, next_near, far = map(variogram, (1, 2, 16))
    found = measure(image)
    assert found.noise == pytest.approx(near / far, rel=1e-3)
    assert found.sharpness == pytest.approx((next_near - near) / (far - near), rel=1e-3)


def test_noise_is_told_from_structure():
    assert measure(noisy(128, 10)).noise == pytest.approx(1, abs=0.03)
    image, more = steel(1), pixels(steel(1) + RNG.normal(0, 8, (200, 200)))
    assert measure(more).noise > 1.5 * measure(image).noise
    assert measure(more).sharpness == pytest.approx(measure(image).sharpness, rel=0.1)


def test_equal_channels_are_grey_and_others_are_not():
    image = steel(2)
    assert measure(np.dstack([image] * 3)) == measure(image)
    assert measure(np.dstack([np.full((40, 40), v, np.uint8) for v in (100, 90, 60)])).colour == pytest.approx(40 / 86)


def test_a_part_of_a_large_image_stands_for_all():
    image = np.tile(steel(4), (10, 10))
    small, large = asdict(measure(image[:700, :700])), asdict(measure(image))
    for name in ("brightness", "shadows", "highlights", "noise", "sharpness"):
        assert large[name] == pytest.approx(small[name], rel=0.1)


def test_tiny_images_are_not_judged_by_their_texture():
    assert fault(measure(np.arange(0, 240, 4, dtype=np.uint8).reshape(6, 10))) is None


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (np.zeros((200, 200)), "black frame (highlights 0, expected 9 to 255); check lamp and exposure"),
        (noisy(1, 1.5), "black frame"),
        (np.full((60, 80), 255), "white frame"),
        (noisy(255, 1.5), "white frame"),
        (np.full((200, 200), 90), "blank frame (contrast 0"),
        (noisy(90, 2), "blank frame with noise"),
        (noisy(90, 20), "blank frame with noise"),
        (np.zeros((50, 50, 3)), "black frame"),
    ],
)
def test_what_no_inspection_could_use_is_a_fault_without_limits_and_with_them(image, told, limits):
    quality = measure(pixels(image))
    assert str(fault(quality)).startswith(told)
    assert fault(quality, limits) is not None


FAULTS = {
    "black frame": lambda image, rng: np.zeros_like(image),
    "white frame": lambda image, rng: np.full_like(image, 255),
    "one grey": lambda image, rng: np.full_like(image, int(image.mean())),
    "grey with noise": lambda image, rng: pixels(rng.normal(image.mean(), 5, image.shape)),
    "blur": lambda image, rng: blurred(image, 8),
    "blur with noise": lambda image, rng: pixels(blurred(image, 8) + rng.normal(0, 1, image.shape)),
    "colour": lambda image, rng: pixels(np.dstack([1.1 * image + 10, image, 0.8 * image])),
    "larger": lambda image, rng: image.repeat(2, 0).repeat(2, 1),
    "wider": lambda image, rng: image[:100],
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_found_on_steel(name, limits):
    rng = np.random.default_rng(0)
    found = [fault(measure(FAULTS[name](steel(seed), rng)), limits) for seed in range(200, 240)]
    assert sum(reason is not None for reason in found) >= 38


@pytest.mark.parametrize(("factor", "told"), [(0.25, ("under-exposed", "black")), (4.0, ("over-exposed", "white"))])
def test_exposure_is_judged_against_the_light_of_the_training(factor, told):
    steady = [pixels(image + (130.0 - image.mean())) for image in map(steel, range(80))]
    limits = fit_limits([measure(image) for image in steady])
    found = [fault(measure(pixels(factor * image.astype(float))), limits) for image in steady]
    assert sum(str(reason).startswith(told) for reason in found) >= 76


def test_other_steel_is_no_fault(limits):
    # One of them is smooth but for broad bands, as a blurred frame is.
    assert sum(fault(measure(steel(seed)), limits) is not None for seed in range(200, 320)) <= 1


@pytest.mark.parametrize(("side", "told"), [(132, "small"), (136, None), (298, None), (302, "large")])
def test_a_size_is_wrong_beyond_half_as_much_again(limits, proper, side, told):
    reason = fault(replace(proper[0], size=float(side)), limits)
    assert (reason and reason.split(" ")[0]) == told


def test_what_lies_on_its_limit_is_within(limits, proper):
    one = proper[0]
    for wide in (np.nextafter(one.size, 0), np.nextafter(one.size, 1e9)):
        assert fault(one, limits | {"size": (wide, wide)}) is None
    assert "frame" in str(fault(one, limits | {"size": (1.0, one.size * 0.999)}))


def test_a_grey_frame_is_a_fault_where_all_were_in_colour():
    tinted = [np.dstack([steel(seed), pixels(steel(seed) * 0.8), pixels(steel(seed) * 0.6)]) for seed in range(60)]
    limits = fit_limits([measure(image) for image in tinted])
    assert [fault(measure(image), limits) for image in tinted] == [None] * 60
    assert str(fault(measure(_grey(tinted[0])), limits)).startswith("frame without colour (colour 0")


def test_sizes_may_differ_as_far_as_those_of_the_training_did(proper):
    spread = [replace(one, size=100.0 + i) for i, one in enumerate(proper)]
    low, high = fit_limits(spread)["size"]
    assert low < 70
    assert high > 300


def test_a_few_black_frames_among_the_training_images_change_nothing(proper, limits):
    black = measure(np.zeros((200, 200), np.uint8))
    assert fit_limits([*proper, *[black] * 8]) == limits


def test_where_most_images_break_a_rule_it_is_how_the_surface_looks():
    dark = []
    for seed in range(40):
        image = noisy(3, 1)
        image[50:60, seed : seed + 10] = 8
        dark.append(measure(image))
    assert all(fault(one) for one in dark)
    found = fit_limits(dark)
    assert [fault(one, found) for one in dark] == [None] * 40


def test_limits_name_every_sensor_and_none_where_nothing_was_seen(limits):
    assert set(limits) == set(SENSORS) == set(asdict(measure(steel(0))))
    assert all(low < high for low, high in limits.values())
    assert all(limits[name][0] >= low and limits[name][1] <= high for name, (low, high) in ABSOLUTE.items())
    assert fit_limits([]) == {}
