"""Overlap of boxes that lie pair by pair in two tensors, differentiable."""

import math

import torch
from torch import Tensor

_EPSILON = 1e-7


def iou_pairs(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes ``(…, 4)`` left, top, right, bottom; shapes broadcast."""
    intersection, union = _areas(a, b)
    return intersection / union


def complete_iou(a: Tensor, b: Tensor) -> Tensor:
    """CIoU (Zheng et al. 2020) in [-1.5, 1]: IoU less the distance of the centres and the difference of shape.

    Args:
        a: ``(…, 4)`` predicted boxes.
        b: ``(…, 4)`` true boxes; shapes broadcast.
    """
    intersection, union = _areas(a, b)
    overlap = intersection / union
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    diagonal = hull.square().sum(-1) + _EPSILON
    centres = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    shape = (4 / math.pi**2) * (_angle(b) - _angle(a)).square()
    with torch.no_grad():
        weight = shape / (1 - overlap + shape + _EPSILON)
    return overlap - centres.square().sum(-1) / diagonal - weight * shape


def _areas(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    shared = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    intersection = _product(shared)
    return intersection, _area(a) + _area(b) - intersection + _EPSILON


def _area(boxes: Tensor) -> Tensor:
    return _product(boxes[..., 2:] - boxes[..., :2])


def _product(sides: Tensor) -> Tensor:
    """Of two; the gradient of ``prod`` looks for zeros, which a GPU would have to be waited for."""
    return sides[..., 0] * sides[..., 1]


def _angle(boxes: Tensor) -> Tensor:
    width, height = (boxes[..., 2:] - boxes[..., :2]).clamp(min=_EPSILON).unbind(-1)
    return torch.atan(width / height)
