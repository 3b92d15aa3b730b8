"""The project's own YOLO family: anchor-free, decoupled head, dynamic assignment, distances as distributions.

Each point of the maps at strides 8, 16 and 32 gives a score for each class, which is to be the overlap its box
will have with the true one (Zhang et al. 2021, VarifocalNet), and for each side of its box a distribution over
distances (Li et al. 2020, generalised focal loss). Points answer for boxes by task-aligned assignment.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from millscale.train.detection import Detector, Targets
from millscale.train.detectors._assign import Assignment, assign
from millscale.train.detectors._blocks import ConvNorm, Neck, spatial
from millscale.train.detectors._iou import complete_iou

STRIDES = (8, 16, 32)
BINS = 16
"""Distances run from 0 to 15 strides."""
BOX_WEIGHT, DISTANCE_WEIGHT, CLASS_WEIGHT = 7.5, 1.5, 1.0
_FIRST_SCORE = 0.01
_LEAST_DEVIATION = 0.5
"""Bins: a narrower Gaussian would lie on a single one."""


class Head(nn.Module):
    """Scores and distances from the maps, by two branches that share nothing but their stem."""

    def __init__(self, channels: tuple[int, ...], width: int, classes: int, *, depthwise: bool) -> None:
        super().__init__()

        def branch() -> nn.Sequential:
            return nn.Sequential(*(spatial(width, width, depthwise=depthwise) for _ in range(2)))

        self.stems = nn.ModuleList(ConvNorm(count, width, 1) for count in channels)
        self.cls_convs = nn.ModuleList(branch() for _ in channels)
        self.reg_convs = nn.ModuleList(branch() for _ in channels)
        self.cls_preds = nn.ModuleList(nn.Conv2d(width, classes, 1) for _ in channels)
        self.reg_preds = nn.ModuleList(nn.Conv2d(width, 4 * BINS, 1) for _ in channels)
        for prediction in self.cls_preds:
            nn.init.constant_(prediction.bias, -math.log((1 - _FIRST_SCORE) / _FIRST_SCORE))  # type: ignore[arg-type]

    def forward(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Class logits ``(n, A, C)`` and distance logits ``(n, A, 4 * BINS)``, fine map first, row by row."""
        logits, distances = [], []
        for level, source in enumerate(maps):
            stem = self.stems[level](source)
            logits.append(self.cls_preds[level](self.cls_convs[level](stem)).flatten(2))
            distances.append(self.reg_preds[level](self.reg_convs[level](stem)).flatten(2))
        return torch.cat(logits, 2).transpose(1, 2), torch.cat(distances, 2).transpose(1, 2)


class Yolo(Detector):
    """Backbone, neck and head.

    Args:
        backbone: ``(n, 3, h, w)`` → maps at strides 8, 16 and 32.
        channels: of these maps.
        width: of the head's branches.
        classes: C.
        depthwise: the 3 × 3 convolutions of neck and head.
    """

    recordable = True

    def __init__(
        self, backbone: nn.Module, channels: tuple[int, int, int], width: int, classes: int, *, depthwise: bool
    ) -> None:
        super().__init__()
        self.backbone, self.neck = backbone, Neck(channels, depthwise=depthwise)
        self.head = Head(channels, width, classes, depthwise=depthwise)

    def loss(self, images: Tensor, targets: Targets) -> Tensor:
        """Scores against the overlaps reached, boxes by CIoU and by the distribution of their distances."""
        logits, distances = self._answers(images)
        points, strides = _points(images)
        boxes = _boxes(distances, points, strides)
        found = assign(points, boxes.detach(), logits.detach().sigmoid(), targets)
        true = targets.boxes.gather(1, found.box[..., None].expand(-1, -1, 4))
        # Points that answer for no box weigh nothing; their own box keeps them finite.
        wanted = torch.where(found.positive[..., None], true, boxes.detach())
        misplaced = ((1 - complete_iou(boxes, wanted)) * found.quality).sum()
        unlikely = (_distance_loss(distances, wanted, points, strides, self.softness) * found.quality).sum()
        wrong = _score_loss(logits, targets, found)
        scale = found.quality.sum().clamp(min=1.0)
        return (CLASS_WEIGHT * wrong + BOX_WEIGHT * misplaced + DISTANCE_WEIGHT * unlikely) / scale

    def raw(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """As every detector."""
        logits, distances = self._answers(images)
        return _boxes(distances, *_points(images)), logits.sigmoid()

    def _answers(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits, distances = self.head(self.neck(*self.backbone(images)))
        return logits.float(), distances.float()


def _points(images: Tensor) -> tuple[Tensor, Tensor]:
    """Centres ``(A, 2)`` x, y in pixels and strides ``(A, 1)`` of the points of all maps."""
    height, width = int(images.shape[2]), int(images.shape[3])
    centres, strides = [], []
    for stride in STRIDES:
        rows, columns = (torch.arange(math.ceil(side / stride), device=images.device) for side in (height, width))
        y, x = torch.meshgrid((rows + 0.5) * stride, (columns + 0.5) * stride, indexing="ij")
        centres.append(torch.stack([x, y], 2).reshape(-1, 2))
        strides.append(torch.full_like(centres[-1][:, :1], float(stride)))
    return torch.cat(centres), torch.cat(strides)


def _boxes(distances: Tensor, points: Tensor, strides: Tensor) -> Tensor:
    """``(n, A, 4 * BINS)`` → ``(n, A, 4)`` left, top, right, bottom: each side at its mean distance."""
    shape = distances.shape
    share = distances.reshape(-1, shape[1], 4, BINS).softmax(3)
    mean = (share * torch.arange(BINS, dtype=share.dtype, device=share.device)).sum(3) * strides
    return torch.cat([points - mean[..., :2], points + mean[..., 2:]], 2)


def _score_loss(logits: Tensor, targets: Targets, found: Assignment) -> Tensor:
    """Binary cross-entropy to the quality of the box's class and to 0 elsewhere, regions to ignore left out."""
    named = targets.classes.clamp(min=0).gather(1, found.box)
    is_named = named[..., None] == torch.arange(logits.shape[2], device=named.device)
    wanted = is_named * found.quality[..., None]
    loss = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return (loss * ~found.ignored[..., None]).sum()


def _distance_loss(distances: Tensor, boxes: Tensor, points: Tensor, strides: Tensor, softness: float) -> Tensor:
    """Cross-entropy ``(…)`` of ``distances (…, 4 * BINS)`` to those truly there, mean over the four sides.

    Args:
        distances: logits.
        boxes: ``(…, 4)`` true.
        points, strides: ``(…, 2)`` and ``(…, 1)``.
        softness: as of every detector.

    Where the extent is sure, it stands on the two bins next to the truth; where it is ambiguous, it is a Gaussian of
    ``softness`` times the box's width or height.
    """
    true = torch.cat([points - boxes[..., :2], boxes[..., 2:] - points], -1) / strides
    away = true.clamp(0, BINS - 1.01)[..., None] - torch.arange(BINS, device=true.device)
    wanted = (1 - away.abs()).clamp(min=0)
    if softness:
        sides = softness * (boxes[..., 2:] - boxes[..., :2]) / strides
        deviation = torch.cat([sides, sides], -1).clamp(min=_LEAST_DEVIATION)
        wanted = (-(away / deviation[..., None]).square() / 2).softmax(-1)
    logits = distances.reshape(*distances.shape[:-1], 4, BINS)
    return -(wanted * logits.log_softmax(-1)).sum(-1).mean(-1)
