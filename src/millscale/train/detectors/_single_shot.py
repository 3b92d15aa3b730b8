"""SSD (Liu et al. 2016): every default box says, at once, what it holds and where exactly that lies."""

from torch import Tensor, nn
from torch.nn import functional

from millscale.train.detection import Detector, Targets
from millscale.train.detectors._anchors import anchor_boxes, image_size
from millscale.train.detectors._matching import BACKGROUND, Matches, Rule, match
from millscale.train.detectors._offsets import FINE, moved, offsets

_RULE = Rule(defect=0.5, background=0.5, each_box=True)
_BACKGROUND_SHARE = 3
"""Background boxes that count for each box with a defect; the rest would drown it."""
_LEAST_BACKGROUND = 8
"""The same for an image without defects, which would otherwise teach nothing."""


class SingleShot(Detector):
    """A backbone of several maps and a head that reads them all.

    Args:
        maps: images → a list of ``_anchors.LEVELS`` maps.
        head: torchvision's SSD head, for ``PER_PLACE`` boxes at a place and one class more, the background, first.
    """

    def __init__(self, maps: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.maps, self.head = maps, head

    def raw(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """All default boxes, moved; their class probabilities without that of the background."""
        logits, by, anchors = self._predict(images)
        return moved(anchors, by, image_size(images), FINE), logits.softmax(-1)[..., 1:]

    def loss(self, images: Tensor, targets: Targets) -> Tensor:
        """Equation 1 of the paper: cross-entropy, and smooth L1 of the offsets, over the number of matches."""
        logits, by, anchors = self._predict(images)
        matches = match(anchors.expand(len(images), -1, -1), targets, _RULE, image_size(images))
        defect = matches.labels > BACKGROUND
        wrong = functional.cross_entropy(logits.transpose(1, 2), matches.labels, ignore_index=-1, reduction="none")
        counted = defect | _hardest(wrong, matches)
        goal = offsets(matches.boxes, anchors, FINE)
        away = functional.smooth_l1_loss(by[defect], goal[defect], reduction="none").sum(-1)
        total = (wrong * matches.weights)[counted].sum() + (away * matches.weights[defect]).sum()
        return total / matches.weights[defect].sum().clamp(min=1)

    def _predict(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Class logits ``(n, A, 1 + C)``, offsets ``(n, A, 4)``, default boxes ``(A, 4)``, all float32."""
        maps = self.maps(images)
        found = self.head(maps)
        return found["cls_logits"].float(), found["bbox_regression"].float(), anchor_boxes(maps, image_size(images))


def _hardest(wrong: Tensor, matches: Matches) -> Tensor:
    """The background boxes of each image that are most wrongly taken for defects, ``(n, A)`` bool."""
    background = matches.labels == BACKGROUND
    order = wrong.detach().masked_fill(~background, -1.0).argsort(dim=1, descending=True, stable=True)
    rank = order.argsort(1)
    number = (_BACKGROUND_SHARE * (matches.labels > BACKGROUND).sum(1, keepdim=True)).clamp(min=_LEAST_BACKGROUND)
    return background & (rank < number)
