"""Overlapping crops put back where they were cut from: each on the sheet it shares with others."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from millscale.data.audit.overlap import Overlap

Place = tuple[int, int]

TOLERANCE = 1
"""Pixels by which two ways around a loop of overlaps may differ: the rounding of a blurred offset."""


@dataclass(frozen=True)
class Layout:
    """Where images lie.

    Attributes:
        sheets: one mapping a connected set of overlapping images: id → position ``(x, y)`` of its left-top
            corner on the sheet, pixels, the mapping's first image at (0, 0). An image without overlap has its own.
        inconsistent: overlaps that contradict more trustworthy ones; the places do without them.
    """

    sheets: tuple[dict[str, Place], ...]
    inconsistent: tuple[Overlap, ...]


def laid_out(ids: Sequence[str], overlaps: Iterable[Overlap]) -> Layout:
    """Compose the translations of overlaps into places, the most trustworthy first: exact, then large.

    That is Kruskal's maximum spanning tree; every overlap outside it closes a loop and is checked against it.

    Args:
        ids: the images to place.
        overlaps: those with an image that is not in ``ids`` are left out.
    """
    inside = set(ids)
    sheet_of: dict[str, dict[str, Place]] = {name: {name: (0, 0)} for name in ids}
    inconsistent = []
    for o in sorted(overlaps, key=lambda o: (not o.exact, -o.fraction, o.a, o.b)):
        if not {o.a, o.b} <= inside:
            continue
        first, second = sheet_of[o.a], sheet_of[o.b]
        x, y = first[o.a][0] + o.dx - second[o.b][0], first[o.a][1] + o.dy - second[o.b][1]
        if first is not second:
            first |= {name: (left + x, top + y) for name, (left, top) in second.items()}
            sheet_of |= dict.fromkeys(second, first)
        elif max(abs(x), abs(y)) > TOLERANCE:
            inconsistent.append(o)
    order = {id(sheet_of[name]): sheet_of[name] for name in ids}
    return Layout(tuple(order.values()), tuple(inconsistent))
