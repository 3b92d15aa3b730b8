"""What a detector is: built from its file in ``train/detectors``, trained by a loss, read by its raw outputs.

Suppression, thresholds and the way back to the original image come once, in ``runtime/detect``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from millscale.core import plugins

PACKAGE = "millscale.train.detectors"
PADDING = -1


class Targets(NamedTuple):
    """The boxes of a batch, padded to the longest list.

    Attributes:
        boxes: ``(n, M, 4)`` float32 left, top, right, bottom in pixels of the tensor.
        classes: ``(n, M)`` int64, ``PADDING`` where there is no box.
        weights: ``(n, M)`` float32 in [0, 1]: 0 marks a region to ignore, neither defect nor background.
    """

    boxes: Tensor
    classes: Tensor
    weights: Tensor

    def to(self, device: torch.device) -> "Targets":
        """The same on another device."""
        return Targets(*(part.to(device) for part in self))


class Detector(nn.Module):
    """A network that locates defects. Images are ``(n, 3, h, w)`` float, normalised as its spec says.

    Attributes:
        softness: how ambiguous the extent of annotated boxes is: the deviation of their sides as a share of width
            and height. A detector may leave it unread.
        recordable: the loss does the same work for every batch of a shape and never waits for the device, so that a
            GPU can record it once.
    """

    softness: float = 0.0
    recordable: bool = False

    def loss(self, images: Tensor, targets: Targets) -> Tensor:
        """What training lowers, a scalar."""
        raise NotImplementedError

    def raw(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """``boxes (n, A, 4)`` left, top, right, bottom in pixels of the tensor, and ``scores (n, A, C)`` in [0, 1]."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """As ``raw``."""
        return self.raw(images)


@dataclass(frozen=True)
class DetectorSpec:
    """What is known of a detector before it is built.

    Attributes:
        description: one line.
        licence: of the weights it starts from.
        build: (classes, pretrained) → the detector, for any size; without ``pretrained`` it starts at random.
        mean, std: of each RGB channel in [0, 1], which the exported graph normalises with.
        stride: heights and widths are multiples of it.
        size: the working size that was found best for images of some 200 pixels.
        rate: the learning rate that suits it.
        dense: no depthwise convolutions.
        folded: the weights it starts from have their batch norms folded away.
    """

    description: str
    licence: str
    build: Callable[[int, bool], Detector]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    stride: int = 32
    size: int = 256
    rate: float = 1e-3
    dense: bool = True
    folded: bool = False


def detector_spec(name: str) -> DetectorSpec:
    """The detector registered under ``name``.

    Raises:
        UsageError: no such name; the message lists those there are.
    """
    spec: DetectorSpec = plugins.load(PACKAGE, name).SPEC
    return spec


def build_detector(spec: DetectorSpec, classes: int, seed: int, *, pretrained: bool) -> Detector:
    """Build a detector; what is random in it depends on the seed alone.

    Raises:
        ModelError: its pretrained weights are missing or are other ones.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return spec.build(classes, pretrained)


@torch.no_grad()
def multiply_adds(model: Detector, size: tuple[int, int]) -> int:
    """Multiplications with an addition that convolutions and linear layers do for one image of (height, width).

    Two of them count as two floating-point operations: GFLOPs are twice this in thousand millions.
    """
    counts: list[int] = []

    def count(layer: nn.Module, _inputs: object, output: Tensor) -> None:
        assert isinstance(layer.weight, Tensor)  # noqa: S101 - convolutions and linear layers have one
        counts.append(output.numel() * layer.weight[0].numel())

    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    parameter = next(model.parameters())
    model.eval()
    model.raw(torch.zeros(1, 3, *size, device=parameter.device, dtype=parameter.dtype))
    for hook in hooks:
        hook.remove()
    return sum(counts)
