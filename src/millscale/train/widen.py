"""A network's weights in a wider network of the same build, which then computes the same."""

import torch
from torch import Tensor


def widened(tensor: Tensor, shape: torch.Size) -> Tensor:
    """The weights of one layer, ``(o, i, …)`` or ``(o,)``, for a layer of a multiple of its channels.

    Each channel stands several times beside itself, and what a channel gave is split at random among its copies, so
    that they learn different things from the first step on (Chen, Goodfellow and Shlens 2016, Net2Net).

    Args:
        tensor: as learned.
        shape: wanted.

    Returns:
        Of that shape, or ``tensor`` itself where ``shape`` holds no multiple of its channels.
    """
    if tensor.shape == shape or tensor.ndim != len(shape) or tensor.shape[2:] != shape[2:]:
        return tensor
    copies = [wide // max(narrow, 1) for wide, narrow in zip(shape[:2], tensor.shape[:2], strict=True)]
    if any(times * narrow != wide for times, narrow, wide in zip(copies, tensor.shape, shape, strict=False)):
        return tensor
    wide = tensor.repeat_interleave(copies[0], 0)
    if tensor.ndim == 1 or copies[1] == 1:
        return wide
    shares = torch.rand(*wide.shape[:2], copies[1])
    shares /= shares.sum(2, keepdim=True)
    return wide.repeat_interleave(copies[1], 1) * shares.reshape(len(wide), -1, *[1] * (wide.ndim - 2))
