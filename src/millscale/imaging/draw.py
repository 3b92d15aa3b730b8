"""Boxes drawn over an image, each with its class and score."""

from collections.abc import Sequence

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
from PIL.ImageFont import FreeTypeFont, ImageFont

from millscale.core.types import Boxes, Image
from millscale.imaging.mosaic import BACKGROUND, PALETTE
from millscale.imaging.preprocess import as_rgb

SIDE = 640
"""Pixels that the longer side of a drawing has at least, so that its lettering can be read."""
_LINE, _LETTERS, _GAP = 2, 15, 3
"""Pixels of a frame's line, of the lettering's height, of the space around it."""

Place = tuple[float, float, float, float]


def draw_boxes(
    image: Image, boxes: Boxes, names: Sequence[str], *, scores: bool = True, side: int = SIDE
) -> PIL.Image.Image:
    """The image with its boxes, enlarged by a whole factor where it is small.

    Every class has its colour. A label stands above its box, or wherever it covers the least of other labels and
    does not hide its box.

    Args:
        image: ``(H, W, 3)`` RGB or ``(H, W)`` grey, uint8.
        boxes: in pixels of the image; the strongest is drawn last, above the others.
        names: of the classes that ``class_id`` indexes.
        scores: write them beside the class; annotations have none to tell.
        side: pixels that the longer side of the drawing has at least.
    """
    rgb = as_rgb(image)
    factor = max(1, -(-side // max(rgb.shape[:2])))
    size = rgb.shape[1] * factor, rgb.shape[0] * factor
    picture = PIL.Image.fromarray(rgb).resize(size, PIL.Image.Resampling.BICUBIC)
    draw, font = PIL.ImageDraw.Draw(picture), PIL.ImageFont.load_default(_LETTERS)
    strength = np.ones(len(boxes)) if boxes.score is None else boxes.score
    order = [int(row) for row in np.argsort(strength, kind="stable")]
    frames: dict[int, Place] = {row: _frame(boxes.xyxy[row].tolist(), factor) for row in order}
    for row in order:
        draw.rectangle(frames[row], outline=BACKGROUND, width=_LINE + 2)
        draw.rectangle(frames[row], outline=_colour(boxes, row), width=_LINE)
    taken: list[Place] = []
    for row in reversed(order):
        name = " ".join(names[int(boxes.class_id[row])].split())
        text = f"{name} {strength[row]:.0%}" if scores else name
        taken.append(_label(draw, font, text, frames[row], size, taken, _colour(boxes, row)))
    return picture


def _frame(xyxy: Sequence[float], factor: int) -> Place:
    """The first and the last pixel of a half-open box in the enlarged picture."""
    left, top, right, bottom = (value * factor for value in xyxy)
    return left, top, max(left, right - 1), max(top, bottom - 1)


def _colour(boxes: Boxes, row: int) -> tuple[int, int, int]:
    return PALETTE[int(boxes.class_id[row]) % len(PALETTE)]


def _label(
    draw: PIL.ImageDraw.ImageDraw,
    font: ImageFont | FreeTypeFont,
    text: str,
    frame: Place,
    size: tuple[int, int],
    taken: Sequence[Place],
    colour: tuple[int, int, int],
) -> Place:
    """Write a label on its ground and return where."""
    width, height = draw.textlength(text, font) + 2 * _GAP, _LETTERS + 2 * _GAP
    left, top, right, bottom = frame
    corners = [(left, top - height), (left, top), (left, bottom), (right - width, top), (left, bottom - height)]
    places = [_inside(corner, (width, height), size) for corner in corners]
    place = min(places, key=lambda one: sum(_shared(one, other) for other in taken) + _hidden(one, frame))
    draw.rectangle(place, fill=BACKGROUND)
    draw.text((place[0] + _GAP, place[1]), text, fill=colour, font=font)
    return place


def _hidden(place: Place, frame: Place) -> float:
    """What a label at a place covers of its own box, if that is most of it: a label without a box puzzles."""
    covered = _shared(place, frame)
    return covered if covered > _shared(frame, frame) / 2 else 0.0


def _inside(corner: tuple[float, float], extent: tuple[float, float], size: tuple[int, int]) -> Place:
    left, top = (max(0.0, min(corner[k], size[k] - extent[k])) for k in (0, 1))
    return left, top, left + extent[0], top + extent[1]


def _shared(one: Place, other: Place) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    return max(0.0, width) * max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
