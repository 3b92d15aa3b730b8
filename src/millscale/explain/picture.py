"""An explanation to look at: the image beside its heat map, the scale, and the test of the map."""

from collections.abc import Sequence

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from millscale.core.types import Image
from millscale.explain.colours import heat_colours
from millscale.explain.explanation import Explanation
from millscale.explain.target import Place
from millscale.imaging.mosaic import BACKGROUND, MARGIN, MUTED, TEXT
from millscale.imaging.preprocess import as_rgb

_SIDE = 480
"""Pixels of the longer side of a panel."""
_HEAT_SHARE = 0.55
"""Of the map in a mixture with the image: the colours can be told, and the steel seen."""
_SCALE, _HEAD, _FOOT = 14, 30, 46
"""Pixels of the scale's width, and of the heading and the lines below a pair of panels."""
_LETTERS, _SMALL = 18, 14
_WORDS = 420
"""Pixels that the lines below take, however narrow the image: a map that fails its test must say so."""
_FRAME = (255, 96, 96)
_WARNING = (255, 179, 71)


def draw_explanations(image: Image, explanations: Sequence[Explanation]) -> PIL.Image.Image:
    """One row for each target: the image, the image under its heat map, a scale, and how faithful the map is.

    Args:
        image: ``(H, W, 3)`` RGB or ``(H, W)`` grey, uint8.
        explanations: of targets in it.
    """
    rgb = as_rgb(image)
    rows = [_row(rgb, explanation) for explanation in explanations]
    sheet = PIL.Image.new("RGB", (rows[0].width, sum(row.height for row in rows) + MARGIN), BACKGROUND)
    for place, row in enumerate(rows):
        sheet.paste(row, (0, place * row.height))
    return sheet


def _row(rgb: Image, explanation: Explanation) -> PIL.Image.Image:
    scale = _SIDE / max(rgb.shape[:2])
    grey = np.repeat(rgb.mean(2, keepdims=True), 3, axis=2)
    mixture = (1 - _HEAT_SHARE) * grey + _HEAT_SHARE * heat_colours(explanation.heat)
    place = explanation.target.xyxy
    panels = [_panel(pixels, place, scale) for pixels in (rgb, np.rint(mixture).astype(np.uint8))]
    width, height = panels[0].size
    across = max(4 * MARGIN + 2 * width + 4 * _SCALE, 2 * MARGIN + _WORDS)
    row = PIL.Image.new("RGB", (across, MARGIN + _HEAD + height + _FOOT), BACKGROUND)
    top = MARGIN + _HEAD
    for number, panel in enumerate(panels):
        row.paste(panel, (MARGIN + number * (width + MARGIN), top))
    _write(row, explanation, top + height)
    _draw_scale(row, (3 * MARGIN + 2 * width, top), height)
    return row


def _panel(pixels: Image, place: Place | None, scale: float) -> PIL.Image.Image:
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    panel = PIL.Image.fromarray(pixels).resize(size, PIL.Image.Resampling.BICUBIC)
    if place is not None:
        left, top, right, bottom = (value * scale for value in place)
        frame = left, top, max(left, right - 1), max(top, bottom - 1)
        draw = PIL.ImageDraw.Draw(panel)
        draw.rectangle(frame, outline=BACKGROUND, width=4)
        draw.rectangle(frame, outline=_FRAME, width=2)
    return panel


def _write(row: PIL.Image.Image, explanation: Explanation, bottom: int) -> None:
    draw, target, test = PIL.ImageDraw.Draw(row), explanation.target, explanation.faithfulness
    what = "box" if target.xyxy is not None else "class of the image"
    draw.text(
        (MARGIN, MARGIN), f"{target.label} {target.score:.1%} · {what}", TEXT, PIL.ImageFont.load_default(_LETTERS)
    )
    numbers, _, judgement = explanation.words.partition(": ")
    small = PIL.ImageFont.load_default(_SMALL)
    draw.text((MARGIN, bottom + 6), numbers, MUTED, small)
    draw.text((MARGIN, bottom + 24), judgement, MUTED if test.better else _WARNING, small)


def _draw_scale(row: PIL.Image.Image, corner: tuple[int, int], height: int) -> None:
    """From 1 above to 0 below."""
    values = np.linspace(1, 0, height)[:, None].repeat(_SCALE, axis=1)
    row.paste(PIL.Image.fromarray(heat_colours(values)), corner)
    draw, small = PIL.ImageDraw.Draw(row), PIL.ImageFont.load_default(_SMALL)
    beside = corner[0] + _SCALE + 4
    draw.text((beside, corner[1] - 2), "1", TEXT, small)
    draw.text((beside, corner[1] + height - _SMALL - 2), "0", TEXT, small)
