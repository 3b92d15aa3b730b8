"""Overlaps whose pixels differ: blurred by compression, or the same surface photographed once more.

Keypoints vote for pairs and offsets; a pair is believed where the band-passed pixels of the shared area
correlate in nearly every block of it, not merely on average: two photographs with one strong scratch each
can correlate well at the scratch, and nowhere else. The brightness of the blocks then says whether it was one
photograph (they agree to the rounding of compression) or another exposure (the light differs). Where no offset
fits but many keypoints vote, the piece may have moved between two photographs: ``moved`` looks.

Two traps, both seen in real data: straight scratches agree at any offset along their direction, so the
agreement must fall when one image is shifted a little; and a periodic texture agrees with any other piece
of itself, so an image that repeats on a lattice is left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from millscale.data.audit.exact import by_component
from millscale.data.audit.index import CHANCE_VOTES
from millscale.data.audit.keypoints import BAND_MARGIN, Field
from millscale.data.audit.moved import is_same_surface
from millscale.data.audit.overlap import Match, area_of_smaller, shared_rectangle
from millscale.data.audit.pixels import ImageCache, luminance

BLOCK = 16
MIN_BLOCKS = 6
MIN_SIDE = 8
MIN_POWER = 0.05
"""Squared grey levels a pixel that make structure."""
MIN_MEDIAN = 0.5
MIN_LOW = 0.4
MAX_BRIGHTNESS = 2.0
"""Grey levels; compression moves the mean of a block by less than one, a second exposure by ten."""

SHIFT = 6
MAX_SHIFTED_SAME, MAX_SHIFTED_OTHER = 0.95, 0.8
"""Most that may be left of the median agreement ``SHIFT`` pixels away: same photograph, other exposure."""

OFFSETS_PER_PAIR = 3

MOST_BLOCKS = 12
"""Of a side: a picture of many pixels is judged by blocks spread over it, not by all."""
FEW_BLOCKS = 3
HOPELESS = 0.25
"""Median agreement of ``FEW_BLOCKS`` a side; half of what the whole shared area needs."""
MIDDLE = 128
"""Pixels a side in which a period is looked for."""


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


@dataclass(frozen=True)
class _Placed:
    """Two images at an offset, and the band-passed pixels that they then share."""

    match: Match
    x: Field
    y: Field


def verify_blurred(images: ImageCache, votes: NDArray[np.void]) -> Iterator[tuple[Match, bool] | None]:
    """The best verified overlap of each pair with votes and whether the light is the same, or None; one item a pair."""
    for rows in by_component(votes, images.room):
        places = [placed for row in rows[:OFFSETS_PER_PAIR] if (placed := _place(images, row))]
        yield _fixed(images, places) or (_moved(places[0]) if places and rows["votes"][0] > CHANCE_VOTES else None)


def _place(images: ImageCache, vote: np.void) -> _Placed | None:
    a, b, dx, dy = (int(vote[name]) for name in ("a", "b", "dx", "dy"))
    first, second = images[a], images[b]
    where = shared_rectangle(first.shape, second.shape, dx, dy)
    if where is None:
        return None
    # A part of the band-passed whole is the band-passed part: filtering once serves all pairs.
    x, y = (
        images.band(index)[tuple(slice(side.start, max(side.start, side.stop - 2 * BAND_MARGIN)) for side in part)]
        for index, part in zip((a, b), where, strict=True)
    )
    area = int(np.prod([side.stop - side.start for side in where[0]]))
    return _Placed(Match(a, b, area / area_of_smaller(first, second), dx, dy, exact=False), x, y)


def _fixed(images: ImageCache, places: list[_Placed]) -> tuple[Match, bool] | None:
    """The offset at which the two agree best pixel by pixel, where it alone makes them agree."""
    judged = [(agreement, placed) for placed in places if (agreement := _judge(images, placed))]
    for agreement, placed in sorted(judged, key=lambda item: -item[0].median):
        if is_distinct(placed.x, placed.y, agreement):
            return placed.match, agreement.same_light
    return None


def _judge(images: ImageCache, placed: _Placed) -> Agreement | None:
    if is_hopeless(placed.x, placed.y):
        return None
    m = placed.match
    a, b = images[m.a], images[m.b]
    where = shared_rectangle(a.shape, b.shape, m.dx, m.dy)
    if where is None:
        return None
    agreement = agree(luminance(a[where[0]]), placed.x, luminance(b[where[1]]), placed.y)
    return agreement if agreement and agreement.same_surface else None


def _moved(placed: _Placed) -> tuple[Match, bool] | None:
    """The pair as two photographs from not quite the same place, where the blocks say so."""
    same = is_same_surface(placed.x, placed.y) and not is_periodic(placed.x)
    return (placed.match, False) if same else None


def is_hopeless(x: Field, y: Field) -> bool:
    """Do a few blocks of two band-passed pictures disagree so much that the whole need not be compared?

    Images of one even surface share a keypoint or two by chance, nearly each with each; a tenth of the work
    settles most of these pairs.
    """
    correlation = _correlations(x, y, FEW_BLOCKS)
    return len(correlation) >= MIN_BLOCKS and quantile(correlation, 0.5) < HOPELESS


def is_distinct(x: Field, y: Field, agreement: Agreement) -> bool:
    """Does the agreement of two band-passed pictures belong to this offset alone?"""
    most = MAX_SHIFTED_SAME if agreement.same_light else MAX_SHIFTED_OTHER
    down, up, right, left = np.s_[SHIFT:], np.s_[:-SHIFT], np.s_[:, SHIFT:], np.s_[:, :-SHIFT]
    for p, q in ((down, up), (up, down), (right, left), (left, right)):
        shifted = _correlations(x[p], y[q])
        if len(shifted) and quantile(shifted, 0.5) > most * agreement.median:
            return False
    return not is_periodic(x)


def is_periodic(band: Field) -> bool:
    """Does a band-passed texture repeat on a lattice: like itself at some lag, unlike itself half-way there?

    A straight scratch is like itself at every lag along it, also half-way, and is not periodic.
    """
    band = band[tuple(slice(max(0, (side - MIDDLE) // 2), (side + MIDDLE) // 2) for side in band.shape)]
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


def agree(a: Field, x: Field, b: Field, y: Field) -> Agreement | None:
    """Compare two pictures ``a`` and ``b`` of one size in blocks; None where they are too small or flat for it.

    Args:
        a, b: grey levels.
        x, y: the same, band-passed.
    """
    correlation = _correlations(x, y)
    if not len(correlation):
        return None
    inner = slice(BAND_MARGIN, -BAND_MARGIN)
    p, q = (_blocks(image[inner, inner], MOST_BLOCKS) for image in (a, b))
    brightness = p.mean((2, 3)) - q.mean((2, 3))
    deviation = float(np.sqrt((brightness**2).mean()))
    return Agreement(quantile(correlation, 0.5), quantile(correlation, 0.2), deviation, len(correlation))


def _correlations(x: Field, y: Field, most: int = MOST_BLOCKS) -> NDArray[np.float32]:
    """``(N,)`` the correlation of each block of two band-passed pictures that has structure in both."""
    if min(x.shape) < MIN_SIDE:
        return np.empty(0, np.float32)
    p, q = _blocks(x, most), _blocks(y, most)
    cross, power_x, power_y = (np.einsum("rcit,rcit->rc", *pair) for pair in ((p, q), (p, p), (q, q)))
    structured = np.minimum(power_x, power_y) > MIN_POWER * p.shape[2] * p.shape[3]
    return np.asarray((cross / np.sqrt(np.maximum(power_x * power_y, 1e-12)))[structured])


def _blocks(values: Field, most: int) -> Field:
    """``(R, C, BLOCK, BLOCK)``: blocks spread evenly over a picture, at most ``most`` a side; a view."""
    (rows, height), (columns, width) = (_spread(length, most) for length in values.shape)
    return sliding_window_view(values, (height, width))[rows, columns]


@cache
def _spread(length: int, most: int) -> tuple[slice, int]:
    """Where blocks begin along a side of this length, and how long they are."""
    side, count = min(BLOCK, length), max(1, min(most, length // BLOCK))
    step = (length - side) // max(1, count - 1)
    return slice(0, (count - 1) * step + 1, max(1, step)), side


def quantile(values: NDArray[np.float32], share: float) -> float:
    """``np.quantile``, ten times as fast on a few values."""
    ordered = np.sort(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return float(ordered[low] + (place - low) * (ordered[high] - ordered[low]))
