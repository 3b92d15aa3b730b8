"""Which candidate box answers for which annotated box, which for the background, and which for nothing."""

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import box_iou, clip_boxes_to_image

from millscale.train.detection import PADDING, Targets

BACKGROUND = 0
IGNORED = -1
_COVERED = 0.5
"""Share of a candidate inside a region to ignore from which it is not background."""


class Matches(NamedTuple):
    """What candidates should say.

    Attributes:
        boxes: ``(n, A, 4)``, the annotated box; of no meaning where the label is not that of a defect.
        labels: ``(n, A)`` int64, 1 + class, ``BACKGROUND`` or ``IGNORED``.
        weights: ``(n, A)`` float32, how much a defect counts; 1 elsewhere.
    """

    boxes: Tensor
    labels: Tensor
    weights: Tensor


class Rule(NamedTuple):
    """When a candidate matches.

    Attributes:
        defect: overlap (IoU) with an annotated box from which a candidate answers for it.
        background: overlap below which a candidate is background; between both it is ignored.
        each_box: an annotated box that no candidate overlaps so much still gets its best one.
    """

    defect: float
    background: float
    each_box: bool


@torch.no_grad()
def match(candidates: Tensor, targets: Targets, rule: Rule, size: tuple[int, int]) -> Matches:
    """Match the candidates of every image with its targets.

    A region to ignore (weight 0) takes candidates from the background alone: those whose part on the image
    lies in it by half or more. A candidate that answers for a box beside it still does.

    Args:
        candidates: ``(n, A, 4)`` left, top, right, bottom in pixels.
        targets: of ``n`` images.
        rule: when a candidate matches.
        size: (height, width) of the images.
    """
    parts = [_match_one(c, Targets(*t), rule, size) for c, *t in zip(candidates, *targets, strict=True)]
    return Matches(*(torch.stack(part) for part in zip(*parts, strict=True)))


def _match_one(
    candidates: Tensor, targets: Targets, rule: Rule, size: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """``match`` for one image, without the leading dimension."""
    there = targets.classes != PADDING
    regions = targets.boxes[there & (targets.weights <= 0)]
    labels = torch.where(_covered(clip_boxes_to_image(candidates, size), regions), IGNORED, BACKGROUND)
    boxes, classes, weights = (part[there & (targets.weights > 0)] for part in targets)
    if not len(boxes):
        return candidates, labels, torch.ones_like(candidates[:, 0])
    overlap, owner = _owners(candidates, boxes, each_box=rule.each_box)
    defect = overlap >= rule.defect
    labels = torch.where((overlap >= rule.background) & ~defect, IGNORED, labels)
    labels = torch.where(defect, classes[owner] + 1, labels)
    return boxes[owner], labels, torch.where(defect, weights[owner], 1.0)


def _owners(candidates: Tensor, boxes: Tensor, *, each_box: bool) -> tuple[Tensor, Tensor]:
    """Of every candidate the largest overlap and the box it has it with, ``(A,)`` each.

    With ``each_box``, a box's best candidate belongs to it with an overlap of 1.
    """
    table = box_iou(boxes, candidates)
    overlap, owner = table.max(0)
    if each_box:
        best, candidate = table.max(1)
        met = best > 0
        overlap[candidate[met]] = 1.0
        owner[candidate[met]] = torch.arange(len(boxes), device=boxes.device)[met]
    return overlap, owner


def _covered(candidates: Tensor, regions: Tensor) -> Tensor:
    """Does at least half of a candidate lie in one of the regions? ``(A,)`` bool."""
    first = torch.maximum(candidates[:, None, :2], regions[:, :2])
    last = torch.minimum(candidates[:, None, 2:], regions[:, 2:])
    shared = (last - first).clamp(min=0).prod(-1)
    area = (candidates[:, 2:] - candidates[:, :2]).prod(-1)
    return (shared >= _COVERED * area[:, None]).any(1)


def some_of(mask: Tensor, most: int) -> Tensor:
    """In each row at most ``most`` of the marked entries, drawn from torch's generator; ``(n, A)`` bool to the same."""
    draw = torch.rand(mask.shape, device=mask.device).masked_fill(~mask, -1.0)
    least = draw.topk(min(most, mask.shape[1]), dim=1).values[:, -1:]
    return mask & (draw >= least)
