"""Drawing crops where they lie on a common sheet, and several such sheets as one titled picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from millscale.core.types import Image

BACKGROUND = (18, 21, 25)
TEXT, MUTED = (236, 239, 243), (150, 158, 168)
PALETTE = (
    (255, 179, 71), (86, 204, 242), (111, 207, 151), (242, 120, 120),
    (187, 134, 252), (255, 236, 110), (120, 225, 215), (255, 145, 200),
)  # fmt: skip
MARGIN, CAPTION, TITLE = 24, 50, 84
OUTLINE_ALPHA = 210


@dataclass(frozen=True, eq=False)
class Tile:
    """One crop: its left-top corner on the common sheet, pixels, any origin; its size; what gives its pixels."""

    x: int
    y: int
    width: int
    height: int
    read: Callable[[], Image]


@dataclass(frozen=True)
class Panel:
    """One mosaic with its two lines of caption."""

    tiles: Sequence[Tile]
    heading: str
    detail: str


def draw_mosaic(tiles: Sequence[Tile], size: tuple[int, int]) -> PIL.Image.Image:
    """Crops pasted at their places, then a thin outline around each, scaled to fit ``size`` (width, height)."""
    left, top = min(t.x for t in tiles), min(t.y for t in tiles)
    width, height = max(t.x + t.width for t in tiles) - left, max(t.y + t.height for t in tiles) - top
    scale = min(size[0] / width, size[1] / height, 1.6)
    # A long chain of frames is a sheet of gigabytes: it is laid out at twice the size that is drawn, at most.
    fine = min(1.0, 2 * scale)
    sheet = PIL.Image.new("RGB", _scaled(width, height, fine), BACKGROUND)
    for tile in tiles:
        crop = PIL.Image.fromarray(np.ascontiguousarray(tile.read())).convert("RGB")
        place = round((tile.x - left) * fine), round((tile.y - top) * fine)
        sheet.paste(crop.resize(_scaled(*crop.size, fine), PIL.Image.Resampling.LANCZOS), place)
    sheet = sheet.resize(_scaled(width, height, scale), PIL.Image.Resampling.LANCZOS)
    return _outlined(sheet, tiles, (left, top), scale)


def _scaled(width: int, height: int, scale: float) -> tuple[int, int]:
    return max(1, round(width * scale)), max(1, round(height * scale))


def draw_panels(
    panels: Sequence[Panel], title: str, subtitle: str, *, columns: int = 3, cell: int = 440
) -> PIL.Image.Image:
    """Mosaics in a grid under a title, each in a square of ``cell`` pixels with its caption below."""
    rows = -(-len(panels) // columns) or 1
    step_x, step_y = cell + MARGIN, cell + CAPTION + MARGIN
    canvas = PIL.Image.new("RGB", (MARGIN + columns * step_x, MARGIN + TITLE + rows * step_y), BACKGROUND)
    draw = PIL.ImageDraw.Draw(canvas)
    draw.text((MARGIN, MARGIN), title, TEXT, font=PIL.ImageFont.load_default(28))
    draw.text((MARGIN, MARGIN + 42), subtitle, MUTED, font=PIL.ImageFont.load_default(17))
    for i, panel in enumerate(panels):
        x, y = MARGIN + i % columns * step_x, MARGIN + TITLE + i // columns * step_y
        mosaic = draw_mosaic(panel.tiles, (cell, cell))
        canvas.paste(mosaic, (x + (cell - mosaic.width) // 2, y + (cell - mosaic.height) // 2))
        draw.text((x, y + cell + 6), panel.heading, TEXT, font=PIL.ImageFont.load_default(18))
        draw.text((x, y + cell + 30), panel.detail, MUTED, font=PIL.ImageFont.load_default(14))
    return canvas


def _outlined(sheet: PIL.Image.Image, tiles: Sequence[Tile], origin: tuple[int, int], scale: float) -> PIL.Image.Image:
    layer = PIL.Image.new("RGBA", sheet.size)
    draw = PIL.ImageDraw.Draw(layer)
    for i, tile in enumerate(tiles):
        x, y = (tile.x - origin[0]) * scale, (tile.y - origin[1]) * scale
        corner = max(x, x + tile.width * scale - 1), max(y, y + tile.height * scale - 1)
        draw.rectangle((x, y, *corner), outline=(*PALETTE[i % len(PALETTE)], OUTLINE_ALPHA))
    return PIL.Image.alpha_composite(sheet.convert("RGBA"), layer).convert("RGB")
