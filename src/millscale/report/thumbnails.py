"""Small copies of images: for figures as arrays, for the page as data addresses."""

import base64
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from millscale.core.errors import DataError
from millscale.core.types import Image
from millscale.imaging.decode import read_image

Thumbnails = dict[Path, Image | None]


def read_thumbnails(paths: Iterable[Path], side: int = 200) -> Thumbnails:
    """Each distinct file once, shrunk to fit ``side`` pixels; never enlarged.

    A file that cannot be read any more gives None: a report outlives the images it was made from.
    """
    return {path: _thumbnail(path, side) for path in dict.fromkeys(paths)}


def _thumbnail(path: Path, side: int) -> Image | None:
    try:
        return shrink(read_image(path), side)
    except DataError:
        return None


def shrink(image: Image, side: int) -> Image:
    """``image`` with its longer side at most ``side`` pixels, the ratio kept."""
    if max(image.shape[:2]) <= side:
        return image
    picture = Pillow.fromarray(image)
    picture.thumbnail((side, side), Pillow.Resampling.BOX, reducing_gap=2.0)
    return np.asarray(picture, dtype=np.uint8)


def data_address(image: Image, quality: int = 82) -> str:
    """``image`` as a JPEG in a ``data:`` address."""
    stream = BytesIO()
    Pillow.fromarray(image).save(stream, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def png_address(picture: bytes) -> str:
    """The bytes of a PNG file in a ``data:`` address."""
    return "data:image/png;base64," + base64.b64encode(picture).decode("ascii")
