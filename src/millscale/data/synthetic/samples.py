"""A contact sheet of synthetic surfaces."""

from collections.abc import Sequence

from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from millscale.data.synthetic.sheet import CLASSES, render_image

_GAP = 4
_LABEL_WIDTH = 130


def draw_samples(columns: int = 8, size: int = 200, seed: int = 0, kinds: Sequence[str] = CLASSES) -> PillowImage.Image:
    """One row of ``columns`` images a kind, the kind's name on the left; mode "L"."""
    step = size + _GAP
    page = PillowImage.new("L", (_LABEL_WIDTH + columns * step, len(kinds) * step), 255)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(16)
    for row, kind in enumerate(kinds):
        pen.text((6, row * step + size // 2 - 8), kind, fill=0, font=font)
        for column in range(columns):
            image = PillowImage.fromarray(render_image(kind, (seed, column), size))
            page.paste(image, (_LABEL_WIDTH + column * step, row * step))
    return page
