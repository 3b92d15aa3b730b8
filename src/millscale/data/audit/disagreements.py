"""A picture of what annotators disagree about: the same pixels twice, each with the boxes of one annotation."""

from collections.abc import Sequence

import numpy as np
import PIL.Image

from millscale.core.types import Image
from millscale.data.audit.audit import Audit
from millscale.data.audit.overlap import shared_rectangle
from millscale.data.audit.shared_boxes import SharedBoxes, shared_boxes
from millscale.data.manifest import Manifest
from millscale.imaging.decode import read_image
from millscale.imaging.draw import draw_boxes
from millscale.imaging.mosaic import BACKGROUND
from millscale.imaging.preprocess import as_rgb

_HEIGHT, _GAP = 320, 8


def draw_disagreements(manifest: Manifest, audit: Audit, *, count: int = 6) -> PIL.Image.Image | None:
    """The pairs of overlapping images whose boxes agree least, side by side; None where none can be compared.

    Every class is shown before any is shown twice.

    Args:
        manifest: with boxes.
        audit: of the same images.
        count: pairs at most.
    """
    worst = _worst(shared_boxes(manifest, audit, audit.overlaps), count)
    if not worst:
        return None
    paths = {record.id: record.path for record in manifest.records}
    rows = []
    for pair in worst:
        images = [as_rgb(read_image(paths[name])) for name in (pair.overlap.a, pair.overlap.b)]
        where = shared_rectangle(images[0].shape, images[1].shape, pair.overlap.dx, pair.overlap.dy)
        if where is not None:
            rows.append(
                _beside(pair, [image[part] for image, part in zip(images, where, strict=True)], manifest.classes)
            )
    width, height = max(row.width for row in rows), sum(row.height + _GAP for row in rows)
    sheet = PIL.Image.new("RGB", (width, height), BACKGROUND)
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height + _GAP
    return sheet


def _worst(pairs: Sequence[SharedBoxes], count: int) -> list[SharedBoxes]:
    """The pairs of least mean agreement, classes taking turns."""
    by_class: dict[int, list[tuple[float, int]]] = {}
    for place, pair in enumerate(pairs):
        scores = np.concatenate([pair.agreement[0][pair.a.counts], pair.agreement[1][pair.b.counts]])
        if len(scores) and len(pair.a.boxes) and len(pair.b.boxes):
            by_class.setdefault(int(pair.a.boxes.class_id[0]), []).append((float(scores.mean()), place))
    queues = [sorted(found) for _, found in sorted(by_class.items())]
    turns = [queue[turn] for turn in range(max(map(len, queues), default=0)) for queue in queues if turn < len(queue)]
    return [pairs[place] for _, place in turns[:count]]


def _beside(pair: SharedBoxes, parts: Sequence[Image], names: Sequence[str]) -> PIL.Image.Image:
    drawn = [
        draw_boxes(part, side.boxes, names, scores=False) for part, side in zip(parts, (pair.a, pair.b), strict=True)
    ]
    drawn = [picture.resize((round(picture.width * _HEIGHT / picture.height), _HEIGHT)) for picture in drawn]
    row = PIL.Image.new("RGB", (sum(picture.width for picture in drawn) + _GAP, _HEIGHT), BACKGROUND)
    row.paste(drawn[0], (0, 0))
    row.paste(drawn[1], (drawn[0].width + _GAP, 0))
    return row
