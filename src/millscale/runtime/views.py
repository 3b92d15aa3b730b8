"""The eight dihedral views of an image, and the way back for boxes found in them.

View k of an image: transposed if k ≥ 4, then flipped top to bottom if k mod 4 is 1 or 3, and left to right if it is 2
or 3; view 0 is the image. The order is that of the classifier's views (`features.graph`).
"""

import numpy as np
from numpy.typing import NDArray

from millscale.core.types import Image


def view_of(image: Image, view: int) -> Image:
    """View ``view`` of an image ``(H, W, 3)`` or ``(H, W)``, contiguous; 0 to 7."""
    turned, upside_down, mirrored = _moves(view)
    seen = np.swapaxes(image, 0, 1) if turned else image
    seen = seen[::-1] if upside_down else seen
    return np.ascontiguousarray(seen[:, ::-1] if mirrored else seen)


def boxes_in_view(xyxy: NDArray[np.floating], view: int, size: tuple[int, int]) -> NDArray[np.float32]:
    """Where boxes of the image lie in a view.

    Args:
        xyxy: ``(N, 4)`` half-open pixels of the image.
        view: 0 to 7.
        size: (height, width) of the image.
    """
    turned = _moves(view)[0]
    corners = np.asarray(xyxy, np.float64).reshape(-1, 4)
    if turned:
        corners, size = corners[:, [1, 0, 3, 2]], (size[1], size[0])
    return _flipped(corners, view, size)


def boxes_of_view(xyxy: NDArray[np.floating], view: int, size: tuple[int, int]) -> NDArray[np.float32]:
    """Where boxes of a view lie in the image.

    Args:
        xyxy: ``(N, 4)`` half-open pixels of the view.
        view: 0 to 7.
        size: (height, width) of the image, not of the view.
    """
    turned = _moves(view)[0]
    corners = np.asarray(xyxy, np.float64).reshape(-1, 4)
    upright = _flipped(corners, view, (size[1], size[0]) if turned else size)
    return upright[:, [1, 0, 3, 2]] if turned else upright


def _moves(view: int) -> tuple[bool, bool, bool]:
    """Transposed, flipped top to bottom, flipped left to right."""
    return view >= 4, view % 4 in (1, 3), view % 4 in (2, 3)


def _flipped(xyxy: NDArray[np.float64], view: int, size: tuple[int, int]) -> NDArray[np.float32]:
    """Boxes after the flips of a view, which are their own way back; ``size`` is of what is flipped."""
    _, upside_down, mirrored = _moves(view)
    left, top, right, bottom = xyxy.T
    if upside_down:
        top, bottom = size[0] - bottom, size[0] - top
    if mirrored:
        left, right = size[1] - right, size[1] - left
    return np.stack([left, top, right, bottom], 1).astype(np.float32)
