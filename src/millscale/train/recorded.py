"""A loss that a GPU records once and repeats: small networks cost more to tell a GPU of than to compute on it."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from millscale.train.detection import PADDING, Detector, Targets

_LEAST_PLACES = 8


class RecordedLoss:
    """The loss of one detector in training, as CUDA graphs: one for each shape of batch, recorded when it first comes.

    Args:
        network: on a GPU, ``recordable``.
    """

    def __init__(self, network: Detector) -> None:
        self._network = network
        self._recorded: dict[tuple[torch.Size, torch.Size], Any] = {}

    def __call__(self, _network: nn.Module, _average: nn.Module, given: tuple[Tensor, Targets]) -> Tensor:
        """The loss of a batch; the network must be the one that was recorded."""
        images, targets = given[0], roomy(given[1])
        key = (images.shape, targets.boxes.shape)
        if key not in self._recorded:
            self._recorded[key] = self._record(images, targets)
        loss: Tensor = self._recorded[key](images, *targets)
        return loss

    def _record(self, images: Tensor, targets: Targets) -> Any:
        """Recording runs the loss a few times, which must leave no trace in the batch norms."""
        before = [(buffer, buffer.clone()) for buffer in self._network.buffers()]
        with torch.autocast("cuda", torch.bfloat16, enabled=torch.is_autocast_enabled("cuda"), cache_enabled=False):
            recorded = torch.cuda.make_graphed_callables(_Loss(self._network), (images, *targets))
        for buffer, value in before:
            buffer.copy_(value)
        return recorded


class _Loss(nn.Module):
    def __init__(self, network: Detector) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, boxes: Tensor, classes: Tensor, weights: Tensor) -> Tensor:
        return self.network.loss(images, Targets(boxes, classes, weights))


def roomy(targets: Targets) -> Targets:
    """Padded on to a power of two, so that few shapes come."""
    count = targets.boxes.shape[1]
    more = max(_LEAST_PLACES, 1 << (count - 1).bit_length()) - count
    return Targets(
        functional.pad(targets.boxes, (0, 0, 0, more)),
        functional.pad(targets.classes, (0, more), value=PADDING),
        functional.pad(targets.weights, (0, more)),
    )
