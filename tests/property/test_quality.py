"""What must hold of image quality whatever the image."""

from dataclasses import asdict
from functools import cache

import numpy as np
import PIL.Image
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import ImageFilter

from millscale.data.synthetic import KINDS, render_image
from millscale.imaging.quality import SENSORS, Quality, fault, fit_limits, measure

few = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 39)
anything = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40))
in_colour = st.tuples(st.integers(1, 30), st.integers(1, 30), st.just(3)).flatmap(lambda shape: arrays(np.uint8, shape))


@cache
def steel(seed: int) -> np.ndarray:
    return np.asarray(render_image(KINDS[seed % len(KINDS)], (5, seed), 160))


@cache
def qualities() -> list[Quality]:
    return [measure(steel(seed)) for seed in range(40)]


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    return np.asarray(PIL.Image.fromarray(image).filter(ImageFilter.GaussianBlur(sigma)))


@few
@given(seed=seeds, sigma=st.floats(1, 4), more=st.floats(1.3, 3))
def test_blur_lowers_sharpness_and_noise(seed, sigma, more):
    image = steel(seed)
    found = [measure(one) for one in (image, blurred(image, sigma), blurred(image, sigma * more))]
    # Rounding to whole grey levels gives smooth pictures steps of their own.
    assert found[0].sharpness >= found[1].sharpness * 0.97
    assert found[1].sharpness >= found[2].sharpness * 0.9 - 0.003
    assert found[0].noise >= found[1].noise


@few
@given(seed=seeds, deviation=st.floats(1, 12))
def test_noise_does_not_count_as_sharp(seed, deviation):
    image = steel(seed)
    blur = blurred(image, 6)
    grainy = blur + np.random.default_rng(seed).normal(0, deviation, image.shape)
    before, after = measure(blur), measure(np.clip(np.round(grainy), 0, 255).astype(np.uint8))
    assert after.noise > before.noise
    structure = max(before.contrast**2 / 40, 1.0)  # its squared differences at 16 pixels, very roughly
    assert after.sharpness <= before.sharpness + 0.02 + 0.3 * deviation**2 / structure


@few
@given(seed=seeds, shift=st.integers(-90, 90))
def test_more_light_shifts_the_grey_levels_and_leaves_the_rest(seed, shift):
    image = steel(seed) // 4 + np.uint8(100)
    before, after = asdict(measure(image)), asdict(measure((image.astype(int) + shift).clip(0, 255).astype(np.uint8)))
    moved = {"brightness", "shadows", "highlights"}
    for name in set(SENSORS) - {"black", "white"}:
        expected = before[name] + (shift if name in moved else 0)
        np.testing.assert_allclose(after[name], expected, rtol=1e-3, atol=1e-3)


@few
@given(image=anything | in_colour)
def test_any_image_is_measured_within_bounds_and_the_same_however_it_is_turned(image):
    found = measure(image)
    assert 0 <= found.shadows <= found.highlights <= 255
    assert 0 <= found.brightness <= 255
    assert 0 <= found.noise <= 1
    assert 0 <= found.sharpness < np.inf
    turned = asdict(measure(np.ascontiguousarray(np.swapaxes(image, 0, 1)[::-1])))
    for name, value in asdict(found).items():
        if name not in ("aspect", "colour", "noise", "sharpness"):
            assert turned[name] == value
    np.testing.assert_allclose(turned["aspect"] * found.aspect, 1)
    assert (
        fault(found) is None or found.contrast < 9 or found.noise > 0.9 or found.highlights < 9 or found.shadows > 250
    )


@few
@given(count=st.integers(1, 40), order=st.randoms(use_true_random=False))
def test_limits_do_not_depend_on_order_and_keep_what_they_came_from(count, order):
    some = qualities()[:count]
    shuffled = list(some)
    order.shuffle(shuffled)
    limits = fit_limits(some)
    assert fit_limits(shuffled) == limits
    assert [fault(one, limits) for one in some] == [None] * count


@few
@given(image=anything, factor=st.floats(1, 4))
def test_wider_limits_never_find_more_faults(image, factor):
    limits, found = fit_limits(qualities()), measure(image)
    wider = {name: (low / factor, high * factor) for name, (low, high) in limits.items()}
    assert fault(found, limits) is not None or fault(found, wider) is None
