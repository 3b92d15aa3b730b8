"""Which points of the network's maps answer for which box: task-aligned assignment (Feng et al. 2021, TOOD).

A point's alignment with a box is ``score^a * IoU^b``, of the class and the place it predicts itself. The points
inside a box that align best answer for it; how well decides the score they should give.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from millscale.train.detection import PADDING, Targets
from millscale.train.detectors._iou import iou_pairs

POINTS_PER_BOX = 10
SCORE_POWER, IOU_POWER = 0.5, 6.0
_TINY = 1e-9


class Assignment(NamedTuple):
    """What each of the A points of n images should say.

    Attributes:
        positive: ``(n, A)`` bool, the point answers for a box.
        box: ``(n, A)`` int64 index of that box among the targets; 0 elsewhere.
        quality: ``(n, A)`` in [0, 1], the score that the point should give; 0 elsewhere.
        ignored: ``(n, A)`` bool, the point lies in a region to ignore and answers for nothing.
    """

    positive: Tensor
    box: Tensor
    quality: Tensor
    ignored: Tensor


@torch.no_grad()
def assign(points: Tensor, boxes: Tensor, scores: Tensor, targets: Targets) -> Assignment:
    """Assign points to boxes.

    Args:
        points: ``(A, 2)`` centres x, y in pixels of the tensor.
        boxes: ``(n, A, 4)`` predicted, in the same pixels.
        scores: ``(n, A, C)`` predicted, in [0, 1].
        targets: the annotated boxes, M an image.
    """
    inside = _inside(points, targets.boxes)
    real = (targets.classes != PADDING) & (targets.weights > 0)
    overlap = iou_pairs(targets.boxes[:, :, None], boxes[:, None]).clamp(0)
    named = targets.classes.clamp(min=0)[:, None].expand(-1, scores.shape[1], -1)
    of_class = scores.gather(2, named).transpose(1, 2)
    eligible = inside & real[..., None]
    alignment = torch.where(eligible, of_class**SCORE_POWER * overlap**IOU_POWER, 0.0)
    chosen = _best(alignment) & eligible
    # A point within several boxes answers for the one that it covers best.
    claimed = torch.where(chosen, overlap + _TINY, 0.0)
    owner = claimed.argmax(1)
    chosen &= torch.zeros_like(chosen).scatter_(1, owner[:, None], 1)
    best_alignment = (alignment * chosen).amax(2, keepdim=True)
    best_overlap = (overlap * chosen).amax(2, keepdim=True)
    quality = (alignment * chosen * best_overlap / (best_alignment + _TINY)).amax(1)
    positive = chosen.any(1)
    unsure = (inside & ((targets.classes != PADDING) & (targets.weights == 0))[..., None]).any(1)
    return Assignment(positive, torch.where(positive, owner, 0), quality, unsure & ~positive)


def _inside(points: Tensor, boxes: Tensor) -> Tensor:
    """``(n, M, A)``: the point lies strictly within the box."""
    before = points - boxes[:, :, None, :2]
    behind = boxes[:, :, None, 2:] - points
    return torch.cat([before, behind], -1).amin(-1) > _TINY


def _best(alignment: Tensor) -> Tensor:
    """``(n, M, A)``: the point is among the best of its box, and aligned at all."""
    count = min(POINTS_PER_BOX, alignment.shape[2])
    values, places = alignment.topk(count, dim=2)
    return torch.zeros_like(alignment, dtype=torch.bool).scatter_(2, places, values > 0)
