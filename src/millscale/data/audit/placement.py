"""Overlapping crops put back where they were cut from: each on the sheet it shares with others."""

from collections.abc import Iterable, Sequence

from millscale.data.audit.overlap import Overlap

Place = tuple[int, int]


def laid_out(ids: Sequence[str], overlaps: Iterable[Overlap]) -> tuple[dict[str, Place], ...]:
    """Compose the translations of overlaps into places, the most trustworthy first: exact, then large.

    That is Kruskal's maximum spanning tree; an overlap outside it, which closes a loop, has no say.

    Args:
        ids: the images to place.
        overlaps: those with an image that is not in ``ids`` are left out.

    Returns:
        A sheet for each connected set of overlapping images: id → position ``(x, y)`` of its left-top corner on the
        sheet, pixels, the sheet's first image at (0, 0). An image without overlap has its own.
    """
    inside = set(ids)
    sheet_of: dict[str, dict[str, Place]] = {name: {name: (0, 0)} for name in ids}
    for o in sorted(overlaps, key=lambda o: (not o.exact, -o.fraction, o.a, o.b)):
        if {o.a, o.b} <= inside and sheet_of[o.a] is not sheet_of[o.b]:
            first, second = sheet_of[o.a], sheet_of[o.b]
            x, y = first[o.a][0] + o.dx - second[o.b][0], first[o.a][1] + o.dy - second[o.b][1]
            first |= {name: (left + x, top + y) for name, (left, top) in second.items()}
            sheet_of |= dict.fromkeys(second, first)
    return tuple({id(sheet_of[name]): sheet_of[name] for name in ids}.values())
