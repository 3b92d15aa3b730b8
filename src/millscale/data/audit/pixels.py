"""Images as the audit compares them: decoded once, grey wherever the colours carry nothing."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from millscale.core.types import Image
from millscale.data.audit.keypoints import band_pass
from millscale.imaging.decode import read_image

CACHE_BYTES = 96 << 20
Kind = TypeVar("Kind", bound=np.generic)
BANDS = 4
"""Band-passed images take four times the bytes of their images."""


def canonical(image: Image) -> Image:
    """``(H, W)`` where the image is grey, also if stored as three equal channels, else ``(H, W, 3)``."""
    if image.ndim == 3 and (image == image[..., :1]).all():
        return np.ascontiguousarray(image[..., 0])
    return image


def luminance(image: Image) -> NDArray[np.float32]:
    """``(H, W)`` float32 in 0…255, ITU-R BT.601 weights for colour."""
    if image.ndim == 2:
        return image.astype(np.float32)
    return image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def content_digest(image: Image) -> bytes:
    """16 bytes that name the decoded pixels and the shape, whatever file format held them."""
    shape = np.array(image.shape, np.int64).tobytes()
    return hashlib.blake2b(np.ascontiguousarray(image).tobytes(), key=shape, digest_size=16).digest()


class ImageCache:
    """Reads images by index and keeps the last ones, at most ``limit`` bytes of them.

    Verification visits pairs component by component, so a small cache already avoids most second reads
    and memory does not grow with the data set.
    """

    def __init__(self, paths: Sequence[Path], limit: int = CACHE_BYTES) -> None:
        self._images = _Kept(lambda index: canonical(read_image(paths[index])), limit)
        self._bands = _Kept(lambda index: band_pass(self.grey(index)), BANDS * limit)

    def __getitem__(self, index: int) -> Image:
        return self._images[index]

    def grey(self, index: int) -> NDArray[np.float32]:
        """``luminance`` of one image."""
        return luminance(self[index])

    def band(self, index: int) -> NDArray[np.float32]:
        """``band_pass`` of one image in grey."""
        return self._bands[index]

    @property
    def room(self) -> int:
        """Of images like those read so far, how many are kept at once."""
        return self._images.room


class _Kept(Generic[Kind]):
    """The arrays made last, at most ``limit`` bytes of them, but two at least."""

    def __init__(self, make: Callable[[int], NDArray[Kind]], limit: int) -> None:
        self._make = make
        self._limit = limit
        self._held: OrderedDict[int, NDArray[Kind]] = OrderedDict()
        self._bytes = self._made = self._made_bytes = 0

    @property
    def room(self) -> int:
        return max(2, self._limit * self._made // max(self._made_bytes, 1))

    def __getitem__(self, index: int) -> NDArray[Kind]:
        if index in self._held:
            self._held.move_to_end(index)
            return self._held[index]
        array = self._held[index] = self._make(index)
        self._bytes += array.nbytes
        self._made, self._made_bytes = self._made + 1, self._made_bytes + array.nbytes
        while self._bytes > self._limit and len(self._held) > 2:
            self._bytes -= self._held.popitem(last=False)[1].nbytes
        return array
