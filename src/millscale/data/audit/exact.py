"""Pixel-identical overlaps: sampled windows vote for an offset, then every shared pixel is compared.

A candidate is an overlap where ALL pixels of the shared rectangle are identical. Where only some are (a
caption burnt into one crop, a patch pasted in), the identical, textured part decides: at least half of the
shared rectangle, or a quarter of the smaller image, else the two have merely a logo or a border in common.
"""

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from millscale.core.types import Image
from millscale.data.audit.groups import component_of
from millscale.data.audit.index import pair_starts
from millscale.data.audit.overlap import Match, area_of_smaller, shared_rectangle
from millscale.data.audit.pixels import ImageCache
from millscale.data.audit.windows import SIDE, is_textured

OFFSETS_PER_PAIR = 3
PART_OF_RECTANGLE = 0.5
PART_OF_IMAGE = 0.25


def verify_exact(images: ImageCache, votes: NDArray[np.void]) -> Iterator[Match | None]:
    """The best verified overlap of each pair with votes, or None; one item a pair.

    Args:
        images: the images by index.
        votes: ``VOTE`` rows sorted by pair, most votes first.
    """
    for rows in by_component(votes, images.room):
        matches = [compare(images, row) for row in rows[:OFFSETS_PER_PAIR]]
        yield max((m for m in matches if m), key=lambda m: (m.exact, m.fraction), default=None)


def by_component(votes: NDArray[np.void], room: int) -> Iterator[NDArray[np.void]]:
    """The rows of each pair, ordered so that few images are held.

    Pairs of one connected component come together; in a large one, all pairs between half as many images as there
    is ``room`` for, and as many others.
    """
    if not len(votes):
        return
    starts = pair_starts(votes)
    ends = np.append(starts[1:], len(votes))
    a, b = votes["a"][starts], votes["b"][starts]
    component = component_of(int(b.max()) + 1, a, b)
    tile = max(1, room // 2)
    for i in np.lexsort((b // tile, a // tile, component[a])):
        yield votes[starts[i] : ends[i]]


def compare(images: ImageCache, vote: np.void) -> Match | None:
    """Compare every shared pixel of two images at the voted offset."""
    a, b, dx, dy = (int(vote[name]) for name in ("a", "b", "dx", "dy"))
    first, second = images[a], images[b]
    where = shared_rectangle(first.shape, second.shape, dx, dy)
    if where is None or first.ndim != second.ndim:
        return None
    shared, other = first[where[0]], second[where[1]]
    size = shared.shape[0] * shared.shape[1]
    whole = np.array_equal(shared, other)
    same = size if whole else _identical_area(shared, other)
    smaller = area_of_smaller(first, second)
    if not whole and same < PART_OF_RECTANGLE * size and same < PART_OF_IMAGE * smaller:
        return None
    return Match(a, b, same / smaller, dx, dy, whole)


def _identical_area(a: Image, b: Image) -> int:
    """Pixels of the textured windows that are identical in both, windows on a grid of half their side."""
    if min(a.shape[:2]) < SIDE:
        return 0
    equal = (a == b) if a.ndim == 2 else (a == b).all(2)
    step = SIDE // 2
    y, x = np.nonzero(sliding_window_view(equal, (SIDE, SIDE))[::step, ::step].all((2, 3)))
    y, x = y * step, x * step
    textured = is_textured(a, x, y)
    covered = np.zeros(equal.shape, bool)
    for top, left in zip(y[textured], x[textured], strict=True):
        covered[top : top + SIDE, left : left + SIDE] = True
    return int(covered.sum())
