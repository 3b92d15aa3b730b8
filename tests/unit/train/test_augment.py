from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from millscale.train.augment import (  # noqa: E402
    AugmentConfig,
    augment,
    blurred,
    covered,
    cropped,
    exposed,
    mixed,
    noisy,
    of_strength,
    turned,
)


def draws(seed: int = 0):
    return torch.Generator().manual_seed(seed)


def random_images(n: int, channels: int = 3, height: int = 12, width: int = 12):
    return torch.rand(n, channels, height, width, generator=draws(7))


def test_strength_zero_changes_nothing():
    images = random_images(4)
    assert torch.equal(augment(images, of_strength(0), draws()), images)


def test_strength_one_is_the_default():
    assert of_strength(1) == AugmentConfig()
    assert of_strength(2).noise == 2 * AugmentConfig().noise
    assert of_strength(100).zoom == 0.9


@pytest.mark.parametrize("shape", [(6, 3, 16, 16), (6, 1, 12, 20)])
def test_all_changes_keep_shape_range_and_their_argument_and_repeat_with_their_seed(shape):
    images = torch.rand(shape, generator=draws(1))
    before = images.clone()
    first = augment(images, AugmentConfig(), draws(2))
    assert torch.equal(first, augment(images, AugmentConfig(), draws(2)))
    assert not torch.equal(first, augment(images, AugmentConfig(), draws(3)))
    assert torch.equal(images, before)
    assert first.shape == images.shape
    assert 0 <= float(first.min()) <= float(first.max()) <= 1


def test_each_change_can_be_switched_off_alone():
    off = of_strength(0)
    images = random_images(8)
    for name in ("zoom", "stretch", "brightness", "contrast", "gamma", "blur", "noise", "cutout"):
        changed = augment(images, replace(off, **{name: getattr(AugmentConfig(), name)}), draws())
        assert not torch.equal(changed, images), name


def test_turned_images_are_the_eight_views_of_the_square():
    image = random_images(1)[0]
    found = {view.numpy().tobytes() for view in turned(image.expand(200, -1, -1, -1), draws())}
    plain = image.numpy()
    expected = set()
    for quarter in range(4):
        view = np.rot90(plain, quarter, axes=(1, 2))
        expected |= {view.tobytes(), view[:, :, ::-1].tobytes()}
    assert found == expected


def test_images_that_are_not_square_are_only_flipped():
    image = random_images(1, height=4, width=6)[0]
    found = {view.numpy().tobytes() for view in turned(image.expand(100, -1, -1, -1), draws())}
    plain = image.numpy()
    views = (plain, plain[:, ::-1], plain[:, :, ::-1], plain[:, ::-1, ::-1])
    assert found == {view.tobytes() for view in views}


def test_a_crop_of_the_whole_is_the_image():
    images = random_images(3)
    torch.testing.assert_close(cropped(images, 0.0, 0.0, draws()), images, atol=1e-5, rtol=0)


def test_a_crop_enlarges_by_at_most_its_zoom():
    ramp = torch.linspace(0, 1, 64).expand(50, 1, 64, 64)
    found = cropped(ramp, 0.5, 0.0, draws())
    slope = (found[:, 0, 0, -8] - found[:, 0, 0, 7]) / (ramp[:, 0, 0, -8] - ramp[:, 0, 0, 7])
    assert 0.49 <= float(slope.min()) < 0.55
    assert 0.95 < float(slope.max()) <= 1.01
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1


def test_exposure_follows_its_formula():
    images = random_images(2)
    config = AugmentConfig(brightness=0.1, contrast=0.2, gamma=0.3)
    found = exposed(images, config, draws(4))
    generator = draws(4)
    gamma, contrast, shift = (2 * torch.rand(2, generator=generator) - 1 for _ in range(3))
    for k in range(2):
        toned = images[k] ** torch.exp(0.3 * gamma[k])
        expected = (toned - toned.mean()) * (1 + 0.2 * contrast[k]) + toned.mean() + 0.1 * shift[k]
        torch.testing.assert_close(found[k], expected.clamp(0, 1))


def test_a_blurred_point_is_a_gaussian_of_the_drawn_width():
    images = torch.zeros(40, 2, 15, 15)
    images[:, :, 7, 7] = 1
    found = blurred(images, 1.5, draws(5))
    deviation = 1.5 * (2 * torch.rand(40, generator=draws(5)) - 1).clamp(min=0)
    sharp = deviation == 0
    assert 10 < int(sharp.sum()) < 30
    assert torch.equal(found[sharp], images[sharp])
    x = torch.arange(-7, 8)
    for k in torch.flatten(torch.nonzero(deviation > 0.5)).tolist():
        line = torch.exp(-0.5 * (x / deviation[k]) ** 2) * (x.abs() <= 4)
        expected = torch.outer(line, line) / line.sum() ** 2
        torch.testing.assert_close(found[k], expected.expand(2, -1, -1))


def test_noise_is_the_same_in_all_channels_and_as_large_as_drawn():
    grey = torch.full((40, 3, 32, 32), 0.5)
    found = noisy(grey, 0.1, draws(6))
    assert torch.equal(found[:, 0], found[:, 2])
    drawn = 0.1 * (2 * torch.rand(40, generator=draws(6)) - 1).clamp(min=0)
    torch.testing.assert_close(found[:, 0].std((1, 2)), drawn, atol=0.005, rtol=0.1)


def test_a_covered_patch_is_a_small_rectangle_of_the_mean():
    images = random_images(60, height=20, width=30)
    found = covered(images, 0.5, draws(8))
    changed = (found != images).all(1)
    touched = changed.flatten(1).any(1)
    assert 15 < int(touched.sum()) < 45
    for k in torch.flatten(torch.nonzero(touched)).tolist():
        rows, columns = changed[k].any(1), changed[k].any(0)
        assert torch.equal(changed[k], rows[:, None] & columns[None])
        assert int(rows.sum()) <= 10
        assert int(columns.sum()) <= 15
        inside = found[k][:, changed[k]]
        torch.testing.assert_close(inside, images[k].mean((1, 2))[:, None].expand_as(inside))


def test_mixed_images_and_targets_share_one_proportion():
    images, targets = random_images(2), torch.eye(2)
    mixture, soft = mixed(images, targets, 0.4, draws())
    share = float(soft[0, 0])
    assert 0 <= share <= 1
    torch.testing.assert_close(soft, torch.tensor([[share, 1 - share], [1 - share, share]]))
    torch.testing.assert_close(mixture[0], share * images[0] + (1 - share) * images[1])
