"""Boxes as offsets from other boxes (Girshick et al. 2014, appendix C), and back."""

import math

import torch
from torch import Tensor

COARSE = (1.0, 1.0)
"""(of centres, of sides): what the first stage's offsets are multiplied by."""
FINE = (10.0, 5.0)
"""The same where boxes start near their goal, so that offsets are of the order of one (SSD's variances)."""
_LARGEST_GROWTH = math.log(1000 / 16)
_LEAST_SIDE = 1e-2
"""In pixels; keeps the logarithm of an empty box finite."""


def offsets(boxes: Tensor, bases: Tensor, scale: tuple[float, float]) -> Tensor:
    """``boxes`` seen from ``bases``: shift of the centre over the base's side, logarithm of the growth.

    Args:
        boxes: ``(…, 4)`` left, top, right, bottom in pixels.
        bases: likewise.
        scale: ``COARSE`` or ``FINE``.

    Returns:
        ``(…, 4)`` dx, dy, dw, dh.
    """
    (centre, side), (base_centre, base_side) = _centred(boxes), _centred(bases)
    shift = (centre - base_centre) / base_side * scale[0]
    return torch.cat([shift, torch.log(side / base_side) * scale[1]], -1)


def moved(bases: Tensor, by: Tensor, size: tuple[int, int], scale: tuple[float, float]) -> Tensor:
    """The boxes that lie ``by`` offsets from ``bases``, clipped to an image of (height, width) pixels, ``(…, 4)``."""
    base_centre, base_side = _centred(bases)
    centre = base_centre + by[..., :2] / scale[0] * base_side
    half = torch.exp((by[..., 2:] / scale[1]).clamp(max=_LARGEST_GROWTH)) * base_side / 2
    limit = torch.tensor([size[1], size[0]] * 2, dtype=by.dtype, device=by.device)
    return torch.minimum(torch.cat([centre - half, centre + half], -1).clamp(min=0), limit)


def _centred(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Centre (x, y) and side (width, height), ``(…, 2)`` each."""
    first, last = boxes[..., :2], boxes[..., 2:]
    return (first + last) / 2, (last - first).clamp(min=_LEAST_SIDE)
