"""Faster R-CNN (Ren et al. 2015) on ResNet-18 with a feature pyramid (Lin et al. 2017).

Narrower than usual, and one number of proposals for every image: it trains on two cores, and its graph holds
neither loops nor branches. Its boxes are regressed once for all classes.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import FeaturePyramidNetwork, nms
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from millscale.imaging.preprocess import IMAGENET_MEAN, IMAGENET_STD
from millscale.train.detection import PADDING, Detector, DetectorSpec, Targets
from millscale.train.detectors._anchors import PER_PLACE, anchor_boxes, image_size
from millscale.train.detectors._matching import BACKGROUND, IGNORED, Matches, Rule, match, some_of
from millscale.train.detectors._offsets import COARSE, FINE, moved, offsets
from millscale.train.detectors._stages import RESNET_CHANNELS, Stages, resnet18_stages

_PYRAMID, _HEAD, _SIDE = 128, 512, 7
"""Channels of the pyramid, width of the head, cells along a pooled proposal."""
_STRIDES = (8, 16, 32)
_COARSER = (112.0, 224.0)
"""√area in pixels from which a proposal is pooled from the map at stride 16, at stride 32: half of what Lin et al.
give for stride 16, whose images are four times as large."""
_CANDIDATES, _OVERLAP = 512, 0.7
_PROPOSALS, _PROPOSALS_TRAINING = 128, 256
_FIRST = Rule(defect=0.7, background=0.3, each_box=True)
_SECOND = Rule(defect=0.5, background=0.5, each_box=False)
_FIRST_SAMPLE, _SECOND_SAMPLE = (64, 192), (16, 48)
"""(defects, background) that count in an image."""
_roi_align = torch.ops.torchvision.roi_align
"""On a GPU, the function of that name compiles another one, slow and large, where results are to be repeatable."""
_BETA = 1 / 9
"""Where smooth L1 turns from square to straight."""


class FasterRCNN(Detector):
    """Proposals from the pyramid, each then pooled, classified and moved.

    Args:
        maps: images → maps at ``_STRIDES`` with the channels ``channels``.
        channels: as said.
        classes: C.
    """

    def __init__(self, maps: nn.Module, channels: list[int], classes: int) -> None:
        super().__init__()
        self.maps = maps
        self.pyramid = FeaturePyramidNetwork(channels, _PYRAMID, LastLevelMaxPool())
        self.first = RPNHead(_PYRAMID, PER_PLACE)
        self.second = TwoMLPHead(_PYRAMID * _SIDE**2, _HEAD)
        self.classify = nn.Linear(_HEAD, classes + 1)
        self.move = nn.Linear(_HEAD, 4)

    def raw(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """``_PROPOSALS`` boxes an image, fewer where there are not so many default boxes."""
        size = image_size(images)
        pyramid, objectness, by, anchors = self._look(images)
        proposals = propose(objectness, moved(anchors, by, size, COARSE), _PROPOSALS)
        n, number = proposals.shape[:2]
        image = torch.arange(n, device=images.device)[:, None].expand(n, number).reshape(-1)
        logits, by = self._judge(pyramid, proposals.reshape(-1, 4), image)
        boxes = moved(proposals, by.reshape(n, number, 4), size, FINE)
        return boxes, logits.softmax(-1)[:, 1:].reshape(n, number, -1)

    def loss(self, images: Tensor, targets: Targets) -> Tensor:
        """Cross-entropy and smooth L1 of both stages, each over the boxes that were drawn."""
        size = image_size(images)
        pyramid, objectness, by, anchors = self._look(images)
        matches = match(anchors.expand(len(images), -1, -1), targets, _FIRST, size)
        drawn = _drawn(matches, _FIRST_SAMPLE)
        true = (matches.labels[drawn] > BACKGROUND).float()
        wrong = functional.binary_cross_entropy_with_logits(objectness[drawn], true, reduction="none")
        goal = offsets(matches.boxes, anchors, COARSE)
        first = _mean(wrong, by[drawn], goal[drawn], matches, drawn)
        with torch.no_grad():
            proposals = propose(objectness, moved(anchors, by, size, COARSE), _PROPOSALS_TRAINING)
        candidates, matches = _with_truth(proposals, targets, size)
        return first + self._second_loss(pyramid, candidates, matches)

    def _second_loss(self, pyramid: list[Tensor], candidates: Tensor, matches: Matches) -> Tensor:
        drawn = _drawn(matches, _SECOND_SAMPLE)
        logits, by = self._judge(pyramid, candidates[drawn], drawn.nonzero()[:, 0])
        wrong = functional.cross_entropy(logits, matches.labels[drawn], reduction="none")
        goal = offsets(matches.boxes, candidates, FINE)
        return _mean(wrong, by, goal[drawn], matches, drawn)

    def _look(self, images: Tensor) -> tuple[list[Tensor], Tensor, Tensor, Tensor]:
        """The pyramid, and of every default box objectness ``(n, A)``, offsets ``(n, A, 4)`` and itself ``(A, 4)``."""
        named = OrderedDict((str(k), m) for k, m in enumerate(self.maps(images)))
        pyramid = list(self.pyramid(named).values())
        logits, by = self.first(pyramid)
        objectness, moves = (torch.cat([_in_order(m, k) for m in part], 1) for part, k in ((logits, 1), (by, 4)))
        return pyramid, objectness.squeeze(-1), moves, anchor_boxes(pyramid, image_size(images))

    def _judge(self, pyramid: list[Tensor], boxes: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits ``(R, 1 + C)`` and offsets ``(R, 4)`` of boxes ``(R, 4)`` in the images numbered ``(R,)``."""
        features = self.second(pooled(pyramid, boxes, image))
        return self.classify(features).float(), self.move(features).float()


def propose(objectness: Tensor, boxes: Tensor, number: int) -> Tensor:
    """The most promising boxes that do not lie on a more promising one; where too few are left, the best of the rest.

    The result keeps the order of ``boxes``: equal scores that rounding orders otherwise in another runtime
    change nothing.

    Args:
        objectness: ``(n, A)``, larger is better.
        boxes: ``(n, A, 4)`` within the image.
        number: of boxes wanted; at most ``_CANDIDATES`` and at most A are given.

    Returns:
        ``(n, number, 4)``.
    """
    count = min(_CANDIDATES, int(objectness.shape[1]))
    best = objectness.topk(count, dim=1).indices
    # Ranks instead of scores: no ties, and none is below the 0 that some runtimes leave out.
    rank = torch.arange(count, 0, -1, device=boxes.device, dtype=boxes.dtype).expand_as(best)
    first = _unsuppressed(_rows(boxes, best), rank)
    chosen = (rank + count * first).topk(min(number, count), dim=1).indices
    return _rows(boxes, best.gather(1, chosen).sort(1).values)


def _unsuppressed(boxes: Tensor, rank: Tensor) -> Tensor:
    """1 for the boxes that no box of a higher rank overlaps, else 0; ``(n, K, 4)`` and ``(n, K)`` → ``(n, K)``.

    Images are laid side by side, so that one suppression serves the batch.
    """
    place = torch.arange(rank.shape[0], device=boxes.device, dtype=boxes.dtype)[:, None, None]
    apart = boxes + place * (boxes.amax() + 1)
    kept = nms(apart.reshape(-1, 4), rank.reshape(-1), _OVERLAP)
    marks = torch.ones_like(kept, dtype=rank.dtype)
    return torch.zeros_like(rank).reshape(-1).scatter(0, kept, marks).reshape(rank.shape)


def _rows(boxes: Tensor, index: Tensor) -> Tensor:
    """Of ``(n, A, 4)`` the boxes numbered ``(n, K)``."""
    return boxes.gather(1, index[..., None].expand(-1, -1, 4))


def pooled(pyramid: list[Tensor], boxes: Tensor, image: Tensor) -> Tensor:
    """What lies in boxes, ``(R, c, 7, 7)``, from the map that suits their size (Lin et al. 2017, equation 1).

    Args:
        pyramid: maps at ``_STRIDES``, finest first; what follows is left.
        boxes: ``(R, 4)`` in pixels of the images.
        image: ``(R,)``, the number of the image of each.
    """
    regions = torch.cat([image[:, None].to(boxes.dtype), boxes], 1)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    level = (area >= _COARSER[0] ** 2).long() + (area >= _COARSER[1] ** 2).long()
    rows = [(level == k).nonzero()[:, 0] for k in range(len(_STRIDES))]
    found = [
        _roi_align(features.float(), regions[chosen], 1 / stride, _SIDE, _SIDE, 2, True)  # noqa: FBT003 - aligned
        for features, chosen, stride in zip(pyramid, rows, _STRIDES, strict=False)
    ]
    return torch.cat(found)[torch.cat(rows).argsort()]


def _with_truth(proposals: Tensor, targets: Targets, size: tuple[int, int]) -> tuple[Tensor, Matches]:
    """Proposals and the annotated boxes themselves, which teach from the first step on, and their matches."""
    candidates = torch.cat([proposals, targets.boxes.to(proposals.dtype)], 1)
    matches = match(candidates, targets, _SECOND, size)
    idle = torch.zeros_like(matches.labels, dtype=torch.bool)
    idle[:, proposals.shape[1] :] = (targets.classes == PADDING) | (targets.weights <= 0)
    return candidates, matches._replace(labels=matches.labels.masked_fill(idle, IGNORED))


def _drawn(matches: Matches, sample: tuple[int, int]) -> Tensor:
    """``(n, A)`` bool, some boxes with a defect and some of the background."""
    return some_of(matches.labels > BACKGROUND, sample[0]) | some_of(matches.labels == BACKGROUND, sample[1])


def _mean(wrong: Tensor, by: Tensor, goal: Tensor, matches: Matches, drawn: Tensor) -> Tensor:
    """Over the drawn boxes, of how wrong they judge and, for those with a defect, how far off they lie."""
    away = functional.smooth_l1_loss(by, goal, beta=_BETA, reduction="none").sum(-1)
    defect = matches.labels[drawn] > BACKGROUND
    off = torch.where(defect, away, 0.0)
    return ((wrong + off) * matches.weights[drawn]).sum() / max(1, len(wrong))


def _in_order(values: Tensor, width: int) -> Tensor:
    """``(n, shapes * width, h, w)`` → ``(n, h * w * shapes, width)`` float32, the order of ``anchor_boxes``."""
    n, _, height, across = values.shape
    return values.reshape(n, -1, width, height, across).permute(0, 3, 4, 1, 2).reshape(n, -1, width).float()


def _build(classes: int, pretrained: bool) -> Detector:  # noqa: FBT001 - as its spec
    coarse = nn.Sequential(nn.Conv2d(RESNET_CHANNELS[-1], 256, 3, stride=2, padding=1), nn.ReLU(inplace=True))
    maps = Stages([*resnet18_stages(pretrained=pretrained), coarse])
    return FasterRCNN(maps, [*RESNET_CHANNELS, 256], classes)


SPEC = DetectorSpec(
    "Faster R-CNN (Ren et al. 2015) with a pyramid on ResNet-18, ImageNet",
    "BSD-3-Clause",
    _build,
    IMAGENET_MEAN,
    IMAGENET_STD,
    rate=5e-4,
)
