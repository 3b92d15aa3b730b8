"""The same whole picture in another guise: resaved, resized, brightened, turned or mirrored.

Every image becomes a small thumbnail without its slow shading; the signs of random projections of all its
eight dihedral views are looked up in an index, and candidates are compared by correlation.
"""

from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from millscale.data.audit.blurred import BLOCK, agree, is_distinct
from millscale.data.audit.exact import by_component
from millscale.data.audit.index import OffsetIndex
from millscale.data.audit.keypoints import BAND_MARGIN, Field, band_pass, pack_signs
from millscale.data.audit.pixels import ImageCache

VIEWS = (
    "same", "rotated 90", "rotated 180", "rotated 270",
    "mirrored", "mirrored and rotated 90", "mirrored and rotated 180", "mirrored and rotated 270",
)  # fmt: skip
SIDE = 32
SHADING = 4
THUMBNAILS = 4096
"""That many are kept while pairs are compared: 16 MB."""
TABLES, BITS = 8, 24
TOLERANCE = 14
MIN_DEVIATION = 0.5
MIN_SIMILARITY = 0.92
DETAIL = 128
MIN_DETAIL = 0.5
"""Correlation of band-passed pixels, in the median block and at the 20th percentile of blocks."""
MIN_STRUCTURED = 0.5
"""Share of the blocks that must hold structure: a logo on flat ground is not a picture."""


@dataclass(frozen=True)
class NearMatch:
    """Two images by index, their correlation, and how b is turned to look like a."""

    a: int
    b: int
    similarity: float
    view: str


class NearIndex:
    """Collects thumbnails' keys, then yields the near duplicates among them."""

    def __init__(self, index: OffsetIndex) -> None:
        rng = np.random.default_rng(0xFACADE)
        self._index = index
        self._planes = rng.standard_normal((SIDE * SIDE, TABLES * BITS + 64)).astype(np.float32)

    def add(self, image: int, grey: Field) -> None:
        """Enter one image; one without structure is like every other, and is left out."""
        small = thumbnail(grey)
        if small is None:
            return
        signs = np.stack([view.ravel() for view in dihedral(small)]) @ self._planes > 0
        keys = pack_signs(signs[:, : TABLES * BITS].reshape(-1, TABLES, BITS))
        keys ^= np.arange(1, TABLES + 1, dtype=np.uint64) << np.uint64(50)
        rest = pack_signs(signs[:, TABLES * BITS :])
        # One upright and one turned copy must meet; two turned copies meeting say the same once more.
        nowhere = np.zeros(len(rest), np.intp)
        for table in range(TABLES):
            self._index.add(image, keys[:, table], nowhere, nowhere, rest)

    def matches(self, images: ImageCache, known: Container[tuple[int, int]] = ()) -> Iterator[NearMatch]:
        """Verified near duplicates, one a pair, less the ``known`` pairs."""
        small = lru_cache(THUMBNAILS)(lambda index: thumbnail(images.grey(index)))
        for rows in by_component(self._index.votes(tolerance=TOLERANCE), images.room):
            a, b = int(rows["a"][0]), int(rows["b"][0])
            if (a, b) in known:
                continue
            first, second = small(a), small(b)
            if first is None or second is None:
                continue
            scores = [float((first * view).sum()) for view in dihedral(second)]
            best = int(np.argmax(scores))
            if scores[best] >= MIN_SIMILARITY and _agree_in_detail(images.grey(a), images.grey(b), best):
                yield NearMatch(a, b, min(scores[best], 1.0), VIEWS[best])


def _agree_in_detail(a: Field, b: Field, view: int) -> bool:
    """One strong scratch makes thumbnails alike; the same picture agrees in nearly every block of itself.

    Both are brought to the smaller one's size, at most ``DETAIL`` pixels a side: a resaved copy keeps its
    texture, a resized one at least what the smaller holds.
    """
    side = min(*a.shape, *b.shape, DETAIL)
    if side < 2 * BAND_MARGIN:  # nothing is left to compare
        return False
    first, second = (
        np.asarray(PIL.Image.fromarray(np.ascontiguousarray(grey)).resize((side, side), PIL.Image.Resampling.BOX))
        for grey in (a, b)
    )
    other = np.ascontiguousarray(dihedral(second)[view])
    x, y = band_pass(first), band_pass(other)
    agreement = agree(first, x, other, y)
    blocks = max(1, (side - 2 * BAND_MARGIN) // BLOCK) ** 2
    if agreement is None or agreement.blocks < MIN_STRUCTURED * blocks:
        return False
    return min(agreement.median, agreement.low) >= MIN_DETAIL and is_distinct(x, y, agreement)


def thumbnail(grey: Field) -> Field | None:
    """``(SIDE, SIDE)`` float32 of unit norm, slow shading removed; None where nothing is left.

    Averages areas, so that an image and its resized copy give nearly the same.
    """
    whole = PIL.Image.fromarray(np.ascontiguousarray(grey))
    small = whole.resize((SIDE, SIDE), PIL.Image.Resampling.BOX)
    shading = small.resize((SHADING, SHADING), PIL.Image.Resampling.BOX)
    values = np.asarray(small) - np.asarray(shading.resize((SIDE, SIDE), PIL.Image.Resampling.BICUBIC))
    values = values - values.mean()
    if values.std() < MIN_DEVIATION:
        return None
    return np.asarray(values / np.sqrt((values**2).sum()), np.float32)


def dihedral(values: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """The eight views of a square, in the order of ``VIEWS``; turned counter-clockwise, mirrored left-right."""
    return [np.rot90(side, k) for side in (values, values[:, ::-1]) for k in range(4)]
