"""What stands where an image is hidden."""

import numpy as np
import PIL.Image
import PIL.ImageFilter
from numpy.typing import NDArray

from millscale.core.types import Image
from millscale.explain.config import Fill

_BLUR = 10
"""Parts of the longer side that the blur's standard deviation is one of: 20 pixels of 200, wider than the texture and
most defects of steel."""


def filled(image: Image, fill: Fill) -> Image:
    """The image with nothing left in it to find.

    Args:
        image: ``(H, W, 3)`` RGB uint8.
        fill: "blur" or "mean".
    """
    if fill == "mean":
        return np.broadcast_to(image.mean((0, 1)).round().astype(np.uint8), image.shape)
    blur = PIL.ImageFilter.GaussianBlur(max(image.shape[:2]) / _BLUR)
    return np.asarray(PIL.Image.fromarray(image).filter(blur))


def seen_through(image: Image, hidden: Image, mask: NDArray[np.floating]) -> Image:
    """The image where ``mask`` is 1, what hides it where ``mask`` is 0, a mixture between.

    Args:
        image: ``(H, W, 3)`` uint8.
        hidden: the same size.
        mask: ``(H, W)`` in [0, 1].
    """
    share = mask[:, :, None].astype(np.float32)
    mixture = hidden + share * (image.astype(np.float32) - hidden)
    return np.rint(mixture).astype(np.uint8)
