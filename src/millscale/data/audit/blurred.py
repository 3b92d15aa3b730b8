"""Overlaps whose pixels differ: blurred by compression, or the same surface photographed once more.

Keypoints vote for pairs and offsets; a pair is believed where the band-passed pixels of the shared area
correlate in nearly every block of it, not merely on average: two photographs with one strong scratch each
can correlate well at the scratch, and nowhere else. The brightness of the blocks then says whether it was one
photograph (they agree to the rounding of compression) or another exposure (the light differs).

Two traps, both seen in real data: straight scratches agree at any offset along their direction, so the
agreement must fall when one image is shifted a little; and a periodic texture agrees with any other piece
of itself, so an image that repeats on a lattice is left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from millscale.data.audit.exact import by_component
from millscale.data.audit.keypoints import BAND_MARGIN, Field, band_pass
from millscale.data.audit.overlap import Match, area_of_smaller, shared_rectangle
from millscale.data.audit.pixels import ImageCache, luminance

BLOCK = 16
MIN_BLOCKS = 6
MIN_SIDE = 8
MIN_MEDIAN = 0.5
MIN_LOW = 0.4
MAX_BRIGHTNESS = 2.0
"""Grey levels; compression moves the mean of a block by less than one, a second exposure by ten."""

SHIFT = 6
MAX_SHIFTED_SAME, MAX_SHIFTED_OTHER = 0.95, 0.8
"""Most that may be left of the median agreement ``SHIFT`` pixels away: same photograph, other exposure."""

OFFSETS_PER_PAIR = 3

MIDDLE = 64
HOPELESS = 0.25
"""Median agreement of the middle ``MIDDLE`` pixels; half of what the whole shared area needs."""


@dataclass(frozen=True)
class Agreement:
    """How well two images agree over their shared area.

    Attributes:
        median: median over blocks of the correlation of band-passed pixels, in [-1, 1].
        low: its 20th percentile.
        brightness: root mean square difference of the blocks' mean brightness, grey levels.
        blocks: how many blocks had any structure to compare.
    """

    median: float
    low: float
    brightness: float
    blocks: int

    @property
    def same_surface(self) -> bool:
        return self.blocks >= MIN_BLOCKS and self.median >= MIN_MEDIAN and self.low >= MIN_LOW

    @property
    def same_light(self) -> bool:
        return self.brightness <= MAX_BRIGHTNESS


def verify_blurred(images: ImageCache, votes: NDArray[np.void]) -> Iterator[tuple[Match, Agreement] | None]:
    """The best verified overlap of each pair with votes, or None; one item a pair."""
    for rows in by_component(votes):
        found = [_judge(images, row) for row in rows[:OFFSETS_PER_PAIR]]
        yield max((item for item in found if item), key=lambda item: item[1].median, default=None)


def _judge(images: ImageCache, vote: np.void) -> tuple[Match, Agreement] | None:
    a, b, dx, dy = (int(vote[name]) for name in ("a", "b", "dx", "dy"))
    first, second = images[a], images[b]
    where = shared_rectangle(first.shape, second.shape, dx, dy)
    if where is None:
        return None
    shared, other = luminance(first[where[0]]), luminance(second[where[1]])
    if is_hopeless(shared, other):
        return None
    agreement = agree(shared, other)
    if agreement is None or not agreement.same_surface or not is_distinct(shared, other, agreement):
        return None
    return Match(a, b, shared.size / area_of_smaller(first, second), dx, dy, exact=False), agreement


def is_hopeless(a: Field, b: Field) -> bool:
    """Do the middles of two pictures of one size disagree so much that the whole need not be compared?

    Images of one even surface share a keypoint or two by chance, nearly each with each; a tenth of the work
    settles most of these pairs.
    """
    middle = tuple(slice(max(0, (side - MIDDLE) // 2), (side + MIDDLE) // 2) for side in a.shape)
    agreement = agree(a[middle], b[middle])
    return agreement is not None and agreement.blocks >= MIN_BLOCKS and agreement.median < HOPELESS


def is_distinct(a: Field, b: Field, agreement: Agreement) -> bool:
    """Does the agreement belong to this offset alone?"""
    most = MAX_SHIFTED_SAME if agreement.same_light else MAX_SHIFTED_OTHER
    # A part of the band-passed whole is the band-passed part: filtering once serves all shifts.
    x, y = band_pass(a), band_pass(b)
    down, up, right, left = np.s_[SHIFT:], np.s_[:-SHIFT], np.s_[:, SHIFT:], np.s_[:, :-SHIFT]
    for p, q in ((down, up), (up, down), (right, left), (left, right)):
        shifted = _compare(a[p], x[p], b[q], y[q])
        if shifted is not None and shifted.median > most * agreement.median:
            return False
    return not is_periodic(x)


def is_periodic(band: Field) -> bool:
    """Does a band-passed texture repeat on a lattice: like itself at some lag, unlike itself half-way there?

    A straight scratch is like itself at every lag along it, also half-way, and is not periodic.
    """
    correlation = autocorrelation(band)
    y, x = (side // 2 for side in band.shape)
    ky, kx = (side // 4 for side in band.shape)
    half = correlation[y - ky : y + ky, x - kx : x + kx]
    whole = correlation[y - 2 * ky : y + 2 * ky : 2, x - 2 * kx : x + 2 * kx : 2]
    return bool(((whole > 0.7) & (half < 0.4)).any())


def autocorrelation(band: Field) -> NDArray[np.float64]:
    """Correlation of a picture with itself at every lag up to half its sides, lag 0 in the middle; its shape.

    Each lag is a mean over the pixels that really meet there: summed around the borders, as the Fourier
    transform does it by itself, a lattice that does not fit the picture a whole number of times fades.
    """
    height, width = band.shape
    padded = tuple(-(-(side + side // 2 + 1) // 32) * 32 for side in band.shape)  # of small primes: fast
    sums = np.fft.fftshift(np.fft.irfft2(np.abs(np.fft.rfft2(band, padded)) ** 2, padded))
    y, x = (side // 2 - own // 2 for side, own in zip(padded, band.shape, strict=True))
    meeting = [side - np.abs(np.arange(side) - side // 2) for side in band.shape]
    means = sums[y : y + height, x : x + width] / np.outer(*meeting)
    return np.asarray(means / max(float(means[height // 2, width // 2]), 1e-12), np.float64)


def agree(a: Field, b: Field) -> Agreement | None:
    """Compare two pictures of one size pixel by pixel, in blocks; None where they are too small for it."""
    if min(a.shape) < 2 * BAND_MARGIN + MIN_SIDE:
        return None
    return _compare(a, band_pass(a), b, band_pass(b))


def _compare(a: Field, x: Field, b: Field, y: Field) -> Agreement | None:
    """As ``agree``, given also the band-passed pictures ``x`` and ``y``."""
    if min(x.shape) < MIN_SIDE:
        return None
    cross, power_x, power_y = _blocks(x * y), _blocks(x * x), _blocks(y * y)
    structured = np.minimum(power_x, power_y) > 0.05
    if not structured.any():
        return None
    correlation = (cross / np.sqrt(np.maximum(power_x * power_y, 1e-12)))[structured]
    inner = slice(BAND_MARGIN, -BAND_MARGIN)
    brightness = _blocks(a[inner, inner] - b[inner, inner])
    return Agreement(
        median=float(np.median(correlation)),
        low=float(np.percentile(correlation, 20)),
        brightness=float(np.sqrt((brightness**2).mean())),
        blocks=int(structured.sum()),
    )


def _blocks(values: Field) -> NDArray[np.float64]:
    """Means over a grid of about ``BLOCK`` x ``BLOCK`` pixels that covers everything."""
    means = values.astype(np.float64)
    for axis in (0, 1):
        length = means.shape[axis]
        count = max(1, length // BLOCK)
        starts = np.arange(count) * length // count
        sizes = np.diff(np.append(starts, length)).reshape((-1, 1) if axis == 0 else (1, -1))
        means = np.add.reduceat(means, starts, axis) / sizes
    return means
