"""An inverted index: which two images hold the same key, and at which offset from each other.

Rows ``(key, signature, image, x, y)`` meet where their keys are equal and vote for ``(a, b, dx, dy)``; both
the rows and the votes lie on disk in parts, so that memory stays flat however many images there are.
"""

from collections.abc import Iterator
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from millscale.data.audit.spill import Spill

ROW = np.dtype([("key", "<u8"), ("signature", "<u8"), ("image", "<i4"), ("x", "<i4"), ("y", "<i4")])
VOTE = np.dtype([("a", "<i4"), ("b", "<i4"), ("dx", "<i4"), ("dy", "<i4"), ("votes", "<i4")])
BUCKET_NEIGHBOURS = 64
"""A key held by very many images pairs each with this many neighbours only: linear, never quadratic."""

PAIRS_PER_IMAGE, CHANCE_VOTES = 32, 4
"""Of pairs with no more votes than chance gives, this many an image are verified: those with the most."""

_MIX = np.uint64(0x9E3779B97F4A7C15)


class OffsetIndex:
    """Collects rows, then yields votes for pairs of images and their offset. A context manager."""

    def __init__(self) -> None:
        self._rows = Spill(ROW)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rows.__exit__(kind, error, trace)

    def add(
        self,
        image: int,
        keys: NDArray[np.uint64],
        x: NDArray[np.intp],
        y: NDArray[np.intp],
        signatures: NDArray[np.uint64] | None = None,
    ) -> None:
        """Enter the keys found at ``(x, y)`` of one image; positions are pixels of its own frame.

        Args:
            image: its index.
            keys, x, y: ``(N,)`` each.
            signatures: 64 more bits of each place, for a second opinion where equal keys prove little.
        """
        rows = np.empty(len(keys), ROW)
        rows["key"], rows["image"], rows["x"], rows["y"] = keys, image, x, y
        rows["signature"] = 0 if signatures is None else signatures
        self._rows.add(rows, keys * _MIX)

    def votes(self, *, at_least: int = 1, unique_in_image: bool = False, tolerance: int = 0) -> NDArray[np.void]:
        """``VOTE`` rows, ``a < b``, one per ``(a, b, dx, dy)``; ``(dx, dy)`` is b's origin in a's frame.

        Sorted by pair, most votes first.

        Args:
            at_least: votes that an offset needs.
            unique_in_image: drop keys that one image holds more than once (periodic texture says nothing
                about where two images meet).
            tolerance: most bits in which two signatures may differ and still vote.
        """
        kept = []
        with Spill(VOTE) as ballots:
            for rows in self._rows.parts():
                for votes in collide(rows, unique_in_image=unique_in_image, tolerance=tolerance):
                    ballots.add(votes, _pair_hash(votes))
            for votes in ballots.parts():
                counted = count_votes(votes)
                kept.append(counted[counted["votes"] >= at_least])
        total = np.concatenate(kept)
        return total[np.lexsort((-total["votes"], total["b"], total["a"]))]


def collide(rows: NDArray[np.void], *, unique_in_image: bool, tolerance: int) -> Iterator[NDArray[np.void]]:
    """Every pair of rows with the same key in two images, as ``VOTE`` rows of one vote each, part by part."""
    rows = rows[np.argsort(rows["key"], kind="stable")]  # images were entered in their order
    if unique_in_image:
        rows = rows[~_repeated(rows)]
    key = rows["key"]
    first = np.arange(len(rows))
    for lag in range(1, BUCKET_NEIGHBOURS + 1):
        first = first[first < len(rows) - lag]
        first = first[key[first] == key[first + lag]]
        if not len(first):
            break
        yield _pair(rows[first], rows[first + lag], tolerance)


def _repeated(rows: NDArray[np.void]) -> NDArray[np.bool_]:
    same = (rows["key"][1:] == rows["key"][:-1]) & (rows["image"][1:] == rows["image"][:-1])
    repeated = np.zeros(len(rows), bool)
    repeated[1:] |= same
    repeated[:-1] |= same
    return repeated


def _pair(first: NDArray[np.void], second: NDArray[np.void], tolerance: int) -> NDArray[np.void]:
    flips = np.bitwise_count(first["signature"] ^ second["signature"])
    keep = (first["image"] != second["image"]) & (flips <= tolerance)
    first, second = first[keep], second[keep]
    votes = np.empty(len(first), VOTE)
    votes["a"], votes["b"], votes["votes"] = first["image"], second["image"], 1
    votes["dx"] = first["x"].astype(np.int32) - second["x"]
    votes["dy"] = first["y"].astype(np.int32) - second["y"]
    return votes


def _pair_hash(votes: NDArray[np.void]) -> NDArray[np.uint64]:
    return (votes["a"].astype(np.uint64) * np.uint64(0xFF51AFD7ED558CCD) + votes["b"].astype(np.uint64)) * _MIX


def count_votes(votes: NDArray[np.void]) -> NDArray[np.void]:
    """Rows with equal ``(a, b, dx, dy)`` become one, their votes added."""
    if not len(votes):
        return votes
    place = (votes["dx"].astype(np.int64) << 32) + votes["dy"]
    votes = votes[np.argsort(_pair_hash(votes) ^ (place.view(np.uint64) * _MIX))]  # equal rows come together
    keys = votes[["a", "b", "dx", "dy"]]
    start = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    result = votes[start].copy()
    result["votes"] = np.add.reduceat(votes["votes"], start)
    return result


def pair_starts(votes: NDArray[np.void]) -> NDArray[np.intp]:
    """Where the rows of each pair begin, in votes sorted by pair."""
    pair = votes[["a", "b"]]
    return np.flatnonzero(np.concatenate([np.ones(min(len(votes), 1), bool), pair[1:] != pair[:-1]]))


def likeliest(votes: NDArray[np.void]) -> NDArray[np.void]:
    """The votes less those for pairs that chance explains better than a shared surface.

    Images of one even surface meet nearly each with each in a key or two. A pair stays where it has more than
    ``CHANCE_VOTES``, or is among the ``PAIRS_PER_IMAGE`` best of either image: linear, never quadratic.

    Args:
        votes: ``VOTE`` rows sorted by pair, most votes first.
    """
    starts = pair_starts(votes)
    top = votes[starts]
    image = np.concatenate([top["a"], top["b"]])
    order = np.lexsort((-np.tile(top["votes"], 2), image))
    rank = np.empty(len(order), np.intp)
    rank[order] = np.arange(len(order)) - np.searchsorted(image[order], image[order])
    kept = (top["votes"] > CHANCE_VOTES) | (rank.reshape(2, -1) < PAIRS_PER_IMAGE).any(0)
    return votes[np.repeat(kept, np.diff(np.append(starts, len(votes))))]
