"""A picture of what annotators disagree about: the same pixels twice, each with the boxes of one annotation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from millscale.core.types import Boxes, Image
from millscale.data.audit.audit import Audit
from millscale.data.audit.overlap import shared_rectangle
from millscale.data.audit.shared_boxes import LEAST_SIDE, SharedBoxes, shared_boxes
from millscale.data.manifest import Manifest
from millscale.imaging.decode import read_image
from millscale.imaging.draw import draw_boxes
from millscale.imaging.mosaic import BACKGROUND, CAPTION, MARGIN, MUTED, TEXT, TITLE
from millscale.imaging.preprocess import as_rgb

_SIDE, _GAP, _COLUMNS, _LETTERS = 400, 8, 2, 48
"""Pixels of the longer side of a view and between the two of a pair, pairs in a row, letters of an image's name."""
_HEADING = "Boxes that disagree: the same surface, annotated twice"
_DETAIL = (
    "The least agreement of each class. Left and right show the same pixels, with the boxes of two overlapping images "
    "cut to them."
)


@dataclass(frozen=True, eq=False)
class _Case:
    """A pair of images as an example of one class, with the mean IoU of its boxes of that class."""

    pair: SharedBoxes
    class_id: int
    iou: float


def draw_disagreements(manifest: Manifest, audit: Audit, *, count: int = 6) -> PIL.Image.Image | None:
    """The pairs of overlapping images whose boxes agree least, side by side; None where none can be compared.

    Every class is shown before any is shown twice, no pair is shown twice.

    Args:
        manifest: with boxes.
        audit: of the same images.
        count: pairs at most.
    """
    worst = _worst(shared_boxes(manifest, audit, audit.overlaps), count)
    if not worst:
        return None
    paths = {record.id: record.path for record in manifest.records}
    views = [_views(case.pair, paths, manifest.classes) for case in worst]
    step = 2 * _SIDE + _GAP + MARGIN
    heights = [max(view.height for pair in views[k : k + _COLUMNS] for view in pair) + CAPTION + MARGIN
               for k in range(0, len(views), _COLUMNS)]  # fmt: skip
    canvas = PIL.Image.new("RGB", (MARGIN + _COLUMNS * step, MARGIN + TITLE + sum(heights)), BACKGROUND)
    _write(canvas, (MARGIN, MARGIN), (_HEADING, 28), (_DETAIL, 17), 42)
    for k, (case, pair) in enumerate(zip(worst, views, strict=True)):
        left, top = MARGIN + k % _COLUMNS * step, MARGIN + TITLE + sum(heights[: k // _COLUMNS])
        heading = f"{manifest.classes[case.class_id]}: mean IoU {case.iou:.2f}"
        names = case.pair.overlap.a, case.pair.overlap.b
        for x, view, title, name in zip((left, left + _SIDE + _GAP), pair, (heading, ""), names, strict=True):
            canvas.paste(view, (x, top))
            _write(canvas, (x, top + max(v.height for v in pair) + 6), (title, 18), (name[-_LETTERS:], 14), 24)
    return canvas


def _write(
    canvas: PIL.Image.Image, place: tuple[int, int], heading: tuple[str, int], detail: tuple[str, int], below: int
) -> None:
    """A heading and a detail ``below`` pixels lower; each with its lettering's size."""
    draw = PIL.ImageDraw.Draw(canvas)
    draw.text(place, heading[0], TEXT, font=PIL.ImageFont.load_default(heading[1]))
    draw.text((place[0], place[1] + below), detail[0], MUTED, font=PIL.ImageFont.load_default(detail[1]))


def _worst(pairs: Sequence[SharedBoxes], count: int) -> list[_Case]:
    """The pairs of least mean agreement on a class, classes taking turns.

    First come those where both annotators answer for a box of the class, of equal ones that with more to see.
    """
    by_class: dict[int, list[tuple[bool, float, float, int]]] = {}
    for place, pair in enumerate(pairs):
        a, b = pair.a.boxes.class_id[pair.a.counts], pair.b.boxes.class_id[pair.b.counts]
        found = np.concatenate([pair.agreement[0][pair.a.counts], pair.agreement[1][pair.b.counts]])
        for name in np.union1d(a, b).tolist():
            mean = float(found[np.concatenate([a, b]) == name].mean())
            one_sided = not (name in a and name in b)
            by_class.setdefault(name, []).append((one_sided, mean, -pair.overlap.fraction, place))
    queues = [[(one[-1], name, one[1]) for one in sorted(found)] for name, found in sorted(by_class.items())]
    cases: dict[int, _Case] = {}
    for turn in range(max(map(len, queues), default=0)):
        for place, name, mean in (queue[turn] for queue in queues if turn < len(queue)):
            cases.setdefault(place, _Case(pairs[place], name, mean))
    return list(cases.values())[:count]


def _views(pair: SharedBoxes, paths: Mapping[str, Path], names: Sequence[str]) -> list[PIL.Image.Image]:
    """The shared pixels of both images, each with its own boxes, at one size whatever the images' is."""
    images = [as_rgb(read_image(paths[name])) for name in (pair.overlap.a, pair.overlap.b)]
    where = shared_rectangle(images[0].shape, images[1].shape, pair.overlap.dx, pair.overlap.dy)
    parts = [] if where is None else [image[part] for image, part in zip(images, where, strict=True)]
    return [_view(part, side.boxes, names) for part, side in zip(parts, (pair.a, pair.b), strict=True)]


def _view(part: Image, boxes: Boxes, names: Sequence[str]) -> PIL.Image.Image:
    """The pixels with their boxes, but for rims, of which only the label would be seen."""
    height, width = part.shape[:2]
    scale = _SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    pixels = np.asarray(PIL.Image.fromarray(np.ascontiguousarray(part)).resize(size, PIL.Image.Resampling.BICUBIC))
    seen = (boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]).min(1, initial=np.inf) >= LEAST_SIDE
    scaled = Boxes(boxes.xyxy[seen] * scale, boxes.class_id[seen])
    return draw_boxes(pixels, scaled, names, scores=False, side=_SIDE)
