"""An independent truth for the overlap audit: every offset of every pair, by Fourier transforms, nothing sampled.

The sum of squared differences of two images over their shared rectangle, for all offsets at once, is the sum of
their squares there less twice their correlation. It is 0 exactly where every shared pixel is equal.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Exhaustive:
    """Images of one size, ready to be compared with each other.

    Args:
        images: ``(n, s, s)`` grey, uint8.
        least: share of the area that two images must share.
    """

    def __init__(self, images: NDArray[np.uint8], least: float) -> None:
        self.side = images.shape[1]
        self.spectra = np.fft.rfft2(images.astype(np.float64), (2 * self.side, 2 * self.side))
        shift = np.arange(-self.side + 1, self.side)
        area = np.multiply.outer(self.side - np.abs(shift), self.side - np.abs(shift))
        self.allowed = area >= least * self.side**2
        self.own = [_corner_energy(image.astype(np.float64) ** 2) for image in images]
        self.varied = [_corner_energy(_edges(image)) > 50 for image in images]

    def share_pixels(self, a: int, b: int) -> bool:
        """Is there an offset at which the two agree in every pixel of a large, not featureless rectangle?"""
        correlation = np.fft.irfft2(self.spectra[a] * self.spectra[b].conj(), (2 * self.side, 2 * self.side))
        correlation = np.roll(correlation, (self.side - 1, self.side - 1), (0, 1))[:-1, :-1]
        difference = self.own[a] + self.own[b][::-1, ::-1] - 2 * correlation
        return bool(((difference < 0.5) & self.allowed & self.varied[a]).any())


def _corner_energy(values: Floats) -> Floats:
    """``(2 s - 1, 2 s - 1)``: the sum over the part that an image moved by (dy, dx) from this one would cover."""
    side = len(values)
    table = np.zeros((side + 1, side + 1))
    table[1:, 1:] = values.cumsum(0).cumsum(1)
    shift = np.arange(-side + 1, side)
    start, stop = np.maximum(shift, 0), side + np.minimum(shift, 0)
    return (
        table[np.ix_(stop, stop)]
        - table[np.ix_(start, stop)]
        - table[np.ix_(stop, start)]
        + table[np.ix_(start, start)]
    )


def _edges(image: NDArray[np.uint8]) -> Floats:
    """1 where a pixel differs from its right neighbour: a rectangle with hardly any such pixel is featureless."""
    change = np.zeros(image.shape)
    change[:, :-1] = image[:, 1:] != image[:, :-1]
    return change
