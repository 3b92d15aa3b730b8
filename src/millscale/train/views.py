"""Views for distillation: crops of metal photographs and of synthetic surfaces, mixed and re-photographed."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageFilter

from millscale.data.synthetic import render_texture

Grey = NDArray[np.uint8]
"""``(H, W)`` uint8."""


@dataclass(frozen=True)
class ViewConfig:
    """How views are drawn.

    Attributes:
        size: side of a view, pixels.
        photographs: chance that a view comes from a photograph rather than from a synthetic surface.
        mixed: chance that two sources are joined in one view.
        inverted: chance that dark and bright change places.
        blurred: chance of a Gaussian blur.
        noisy: chance of added noise.
        compressed: chance of a round trip through JPEG.
    """

    size: int = 128
    photographs: float = 0.35
    mixed: float = 0.25
    inverted: float = 0.1
    blurred: float = 0.2
    noisy: float = 0.3
    compressed: float = 0.2


def draw_view(photographs: Sequence[Grey], config: ViewConfig, seed: int, index: int) -> Grey:
    """Draw one view; it depends on the seed and its index alone, not on the views drawn before.

    Args:
        photographs: unlabelled grey images; empty for synthetic surfaces only.
        config: how.
        seed: of the whole set.
        index: which view of the set.

    Returns:
        ``(size, size)`` uint8.
    """
    rng = np.random.default_rng((seed, index))
    view = _piece(rng, photographs, config)
    if rng.random() < config.mixed:
        view = _mixed(rng, view, _piece(rng, photographs, config))
    return _rephotographed(rng, view, config)


def _piece(rng: np.random.Generator, photographs: Sequence[Grey], config: ViewConfig) -> Grey:
    """A turned, stretched crop of a photograph or of a synthetic surface."""
    if photographs and rng.random() < config.photographs:
        source = photographs[int(rng.integers(len(photographs)))]
    else:
        side = int(rng.uniform(config.size, 2 * config.size))
        source = render_texture(int(rng.integers(2**62)), side)
    return _turned(rng, _cropped(rng, source, config.size))


def _cropped(rng: np.random.Generator, source: Grey, size: int) -> Grey:
    """A random part of an image, resized to ``size``; at most enlarged threefold."""
    height, width = source.shape
    share, stretch = rng.uniform(0.5, 1.0), np.exp(rng.uniform(-0.15, 0.15))
    high = int(np.clip(share * stretch * height, size // 3, height))
    wide = int(np.clip(share / stretch * width, size // 3, width))
    top, left = int(rng.integers(height - high + 1)), int(rng.integers(width - wide + 1))
    box = (left, top, left + wide, top + high)
    picture = PillowImage.fromarray(source)
    return np.asarray(picture.resize((size, size), PillowImage.Resampling.BICUBIC, box=box))


def _turned(rng: np.random.Generator, image: Grey) -> Grey:
    """One of the eight turns and reflections of a square."""
    turned = np.rot90(image, int(rng.integers(4)))
    return turned.T if rng.random() < 0.5 else turned


def _mixed(rng: np.random.Generator, first: Grey, second: Grey) -> Grey:
    """Two images as one: blended, or a rectangle of the second pasted into the first."""
    size = first.shape[0]
    share = np.full(first.shape, rng.uniform(0.3, 0.7))
    if rng.random() < 0.5:
        high, wide = (int(size * rng.uniform(0.25, 0.75)) for _ in range(2))
        top, left = int(rng.integers(size - high)), int(rng.integers(size - wide))
        share = np.zeros(first.shape)
        share[top : top + high, left : left + wide] = 1
    return _to_bytes(first * (1 - share) + second * share)


def _rephotographed(rng: np.random.Generator, view: Grey, config: ViewConfig) -> Grey:
    """Other exposure, contrast and tone; sometimes blurred, noisy, compressed or inverted."""
    tone = (view / 255.0) ** np.exp(rng.normal(0, 0.2))
    if rng.random() < config.inverted:
        tone = 1 - tone
    mean = tone.mean()
    pixels = _to_bytes(255 * ((tone - mean) * np.exp(rng.normal(0, 0.25)) + mean * np.exp(rng.normal(0, 0.2))))
    if rng.random() < config.blurred:
        blur = ImageFilter.GaussianBlur(rng.uniform(0.3, 1.2))
        pixels = np.asarray(PillowImage.fromarray(pixels).filter(blur))
    if rng.random() < config.noisy:
        pixels = _to_bytes(pixels + rng.exponential(4.0) * rng.standard_normal(pixels.shape))
    return _compressed(pixels, int(rng.integers(30, 95))) if rng.random() < config.compressed else pixels


def _compressed(pixels: Grey, quality: int) -> Grey:
    """The image after a round trip through JPEG."""
    buffer = BytesIO()
    PillowImage.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(PillowImage.open(buffer))


def _to_bytes(values: NDArray[np.float64]) -> Grey:
    """Rounded and clipped to 8 bits."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
