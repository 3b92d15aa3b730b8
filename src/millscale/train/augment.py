"""Random changes that leave an image's class as it is, drawn for a whole batch at once.

A surface has no up or down, so the eight views of the square come first; then another crop and scale,
another exposure, sharpness and noise, and a covered patch. All take ``(n, c, h, w)`` float images in [0, 1],
return new ones, and draw from a generator on the CPU, so that all draws but the pixels of the noise are the same on
every device.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional


@dataclass(frozen=True)
class AugmentConfig:
    """How far images are changed; zero switches a change off.

    Attributes:
        dihedral: turn and flip; images that are not square are only flipped.
        zoom: largest share of the side that a crop leaves out, in [0, 1).
        stretch: largest change of the crop's proportions, a share.
        brightness: largest shift of all values.
        contrast: largest change of the deviation from the mean, a share.
        gamma: largest change of the logarithm of the exponent.
        blur: largest deviation of the Gaussian, in pixels; half of the images stay sharp.
        noise: largest deviation of the noise, the same in all channels; half of the images stay clean.
        cutout: largest side of the covered patch, a share of the image's; half of the images stay whole.
    """

    dihedral: bool = True
    zoom: float = 0.25
    stretch: float = 0.1
    brightness: float = 0.06
    contrast: float = 0.15
    gamma: float = 0.15
    blur: float = 0.6
    noise: float = 0.02
    cutout: float = 0.25


def of_strength(strength: float, *, spatial: bool = True) -> AugmentConfig:
    """The default changes, each ``strength`` times as far; 0 changes nothing.

    Without ``spatial``, what would move a box or hide what it holds is left out.
    """
    base = AugmentConfig()
    if not spatial:
        base = replace(base, dihedral=False, zoom=0.0, stretch=0.0, cutout=0.0)
    return AugmentConfig(
        dihedral=base.dihedral and strength > 0,
        zoom=min(0.9, base.zoom * strength),
        stretch=min(0.9, base.stretch * strength),
        brightness=base.brightness * strength,
        contrast=min(0.9, base.contrast * strength),
        gamma=base.gamma * strength,
        blur=base.blur * strength,
        noise=base.noise * strength,
        cutout=min(0.9, base.cutout * strength),
    )


def augment(images: Tensor, config: AugmentConfig, generator: Generator) -> Tensor:
    """All the changes in turn; ``(n, c, h, w)`` float in [0, 1] in and out."""
    if config.dihedral:
        images = turned(images, generator)
    if config.zoom or config.stretch:
        images = cropped(images, config.zoom, config.stretch, generator)
    if config.brightness or config.contrast or config.gamma:
        images = exposed(images, config, generator)
    if config.blur:
        images = blurred(images, config.blur, generator)
    if config.noise:
        images = noisy(images, config.noise, generator)
    if config.cutout:
        images = covered(images, config.cutout, generator)
    return images


def turned(images: Tensor, generator: Generator) -> Tensor:
    """Each image in one of its eight views, or of its four flips where it is not square."""
    count = 8 if images.shape[2] == images.shape[3] else 4
    views = torch.randint(count, (len(images),), generator=generator)
    result = torch.empty_like(images)
    for view in range(count):
        chosen = (views == view).to(images.device)
        flips = [axis for axis, bit in ((2, 1), (3, 2)) if view & bit]
        source = images[chosen].transpose(2, 3) if view & 4 else images[chosen]
        result[chosen] = source.flip(flips)
    return result


def cropped(images: Tensor, zoom: float, stretch: float, generator: Generator) -> Tensor:
    """A random part of each image, enlarged to the whole; bilinear."""
    n, _, height, width = images.shape
    share = 1 - zoom * _uniform(n, generator)
    ratio = torch.exp(math.log1p(stretch) * _signed(n, generator))
    scale_x, scale_y = (share * ratio).clamp(max=1), (share / ratio).clamp(max=1)
    shift_x, shift_y = (1 - scale_x) * _signed(n, generator), (1 - scale_y) * _signed(n, generator)
    zero = torch.zeros(n)
    rows = [torch.stack([scale_x, zero, shift_x], 1), torch.stack([zero, scale_y, shift_y], 1)]
    grid = functional.affine_grid(torch.stack(rows, 1), [n, 1, height, width], align_corners=False)
    return functional.grid_sample(
        images, grid.to(images.device, images.dtype), padding_mode="border", align_corners=False
    )


def exposed(images: Tensor, config: AugmentConfig, generator: Generator) -> Tensor:
    """Another exponent, contrast about the mean, and brightness."""
    n = len(images)
    gamma, contrast, shift = (_column(_signed(n, generator), images) for _ in range(3))
    toned = images.clamp(0, 1) ** torch.exp(config.gamma * gamma)
    mean = toned.mean((1, 2, 3), keepdim=True)
    return ((toned - mean) * (1 + config.contrast * contrast) + mean + config.brightness * shift).clamp(0, 1)


def blurred(images: Tensor, largest: float, generator: Generator) -> Tensor:
    """A Gaussian blur of random width for half of the images."""
    n, channels, height, width = images.shape
    deviation = largest * _half(n, generator)
    radius = max(1, math.ceil(2.5 * largest))
    offsets = torch.arange(-radius, radius + 1)
    kernel = torch.exp(-0.5 * (offsets / deviation.clamp(min=1e-3)[:, None]) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    kernel = kernel.to(images.device, images.dtype)
    padded = functional.pad(images, [radius] * 4, mode="replicate")
    planes = padded.reshape(1, n * channels, height + 2 * radius, width + 2 * radius)
    rows = functional.conv2d(planes, kernel[:, None, None, :], groups=n * channels)
    both = functional.conv2d(rows, kernel[:, None, :, None], groups=n * channels)
    return both.reshape(n, channels, height, width)


def noisy(images: Tensor, largest: float, generator: Generator) -> Tensor:
    """Gaussian noise for half of the images; grey stays grey."""
    n, _, height, width = images.shape
    deviation = _column(largest * _half(n, generator), images)
    # A draw for every pixel is costly to carry over to the device; its seed is not.
    seed = int(torch.randint(2**31, (1,), generator=generator))
    own = Generator(images.device).manual_seed(seed)
    noise = torch.randn(n, 1, height, width, generator=own, device=images.device, dtype=images.dtype)
    return (images + deviation * noise).clamp(0, 1)


def covered(images: Tensor, largest: float, generator: Generator) -> Tensor:
    """A rectangle of each second image painted in its mean (cutout, DeVries & Taylor 2017)."""
    n, _, height, width = images.shape
    size = largest * _half(n, generator)
    high, wide = size * (0.5 + 0.5 * _uniform(n, generator)), size * (0.5 + 0.5 * _uniform(n, generator))
    inside_y = _between((1 - high) * _uniform(n, generator), high, height)
    inside_x = _between((1 - wide) * _uniform(n, generator), wide, width)
    patch = (inside_y[:, None, :, None] & inside_x[:, None, None, :]).to(images.device)
    return torch.where(patch, images.mean((2, 3), keepdim=True), images)


def mixed(images: Tensor, targets: Tensor, alpha: float, generator: Generator) -> tuple[Tensor, Tensor]:
    """Images and their targets ``(n, C)`` blended with those of the reversed batch.

    Mixup (Zhang et al. 2018). The share is the same for the whole batch, from Beta(alpha, alpha).
    """
    # torch draws a Beta from the global state alone, NumPy from a seed.
    seed = int(torch.randint(2**31, (1,), generator=generator))
    share = float(np.random.default_rng(seed).beta(alpha, alpha))
    return torch.lerp(images.flip(0), images, share), torch.lerp(targets.flip(0), targets, share)


def _uniform(n: int, generator: Generator) -> Tensor:
    return torch.rand(n, generator=generator)


def _signed(n: int, generator: Generator) -> Tensor:
    """Uniform in [-1, 1)."""
    return 2 * torch.rand(n, generator=generator) - 1


def _half(n: int, generator: Generator) -> Tensor:
    """Zero for half of the images, uniform in [0, 1) for the others."""
    return (2 * torch.rand(n, generator=generator) - 1).clamp(min=0)


def _column(values: Tensor, images: Tensor) -> Tensor:
    return values.to(images.device, images.dtype)[:, None, None, None]


def _between(start: Tensor, length: Tensor, count: int) -> Tensor:
    """``(n, count)``: which pixel centres lie in each image's interval, in shares of the side."""
    centres = (torch.arange(count) + 0.5) / count
    return (centres >= start[:, None]) & (centres < (start + length)[:, None])
