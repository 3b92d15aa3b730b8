"""The largest groups drawn as what they are: one sheet each, cut into overlapping images."""

from collections.abc import Sequence
from functools import partial

import PIL.Image

from millscale.data.audit.audit import Audit
from millscale.data.audit.groups import members
from millscale.data.audit.placement import laid_out
from millscale.data.manifest import Manifest
from millscale.imaging.decode import read_image, read_size
from millscale.imaging.mosaic import Panel, Tile, draw_panels


def draw_groups(manifest: Manifest, audit: Audit, *, groups: int = 6, columns: int = 3) -> PIL.Image.Image:
    """Large groups of an audit, every image at its true place; the largest of each class come first.

    Args:
        manifest, audit: the data set and what ``check`` found in it.
        columns: panels in a row.
        groups: how many to draw; groups of one image are left out.
    """
    lost = {*audit.unreadable}
    groups_seen = ([name for name in ids if name not in lost] for ids in members(audit.groups).values())
    named = [ids for ids in groups_seen if len(ids) > 1]
    panels = [_panel(manifest, ids, audit) for ids in _varied(manifest, named)[:groups]]
    together = sum(len(ids) for ids in named)
    title = f"{together} of {audit.images} images share surface with another image"
    subtitle = (
        f"{len(set(audit.groups.values()))} independent groups; {len(panels)} of the largest, each image outlined "
        f"where it lies on the common sheet. Splitting inside a group tests on what was trained on."
    )
    return draw_panels(panels, title, subtitle, columns=columns)


def _varied(manifest: Manifest, named: Sequence[list[str]]) -> list[list[str]]:
    """The largest group of each class first, then the others, so that every class is seen."""
    label = {record.id: record.label for record in manifest.records}
    first = {label[ids[0]]: ids for ids in reversed(named)}
    leading = sorted(first.values(), key=len, reverse=True)
    return leading + [ids for ids in named if ids not in leading]


def _panel(manifest: Manifest, ids: Sequence[str], audit: Audit) -> Panel:
    places = max(laid_out(ids, (*audit.overlaps, *audit.second_exposures)), key=len)
    records = {record.id: record for record in manifest.select(places).records}
    tiles = [
        Tile(x, y, *read_size(records[name].path), read=partial(read_image, records[name].path))
        for name, (x, y) in places.items()
    ]
    labels = sorted({record.label for record in records.values() if record.label})
    again = sum(o.a in places for o in audit.second_exposures)
    detail = f"{len(places)} images of one piece of surface"
    if again:
        detail += f", {again} pairs from two photographs of it"
    return Panel(tiles, " + ".join(labels) or "unlabelled", detail)
