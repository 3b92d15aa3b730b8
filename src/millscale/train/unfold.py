"""Make batch norm live again in networks whose weights came with the norms folded away."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


@torch.no_grad()
def unfold_batch_norm(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Give every batch norm the statistics of the data, and scale and shift so that nothing else changes.

    Folded weights come with the dummy statistics 0 and 1, under which training would change the network at its
    first step. Before and after, the network in evaluation mode computes the same.

    Args:
        network: changed in place.
        batches: images ``(n, 3, h, w)`` as the network takes them.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    gathered = {norm: _Moments() for norm in norms}
    hooks = [norm.register_forward_pre_hook(gathered[norm].add) for norm in norms]
    network.eval()
    for images in batches:
        network(images)
    for hook in hooks:
        hook.remove()
    for norm in norms:
        _restate(norm, *gathered[norm].mean_and_variance())


class _Moments:
    def __init__(self) -> None:
        self.count, self.sums, self.squares = 0, torch.zeros(()), torch.zeros(())

    def add(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        maps = inputs[0].double()
        self.count += maps.numel() // maps.shape[1]
        self.sums = self.sums + maps.sum((0, 2, 3)).cpu()
        self.squares = self.squares + maps.square().sum((0, 2, 3)).cpu()

    def mean_and_variance(self) -> tuple[Tensor, Tensor]:
        mean = self.sums / self.count
        return mean, (self.squares / self.count - mean.square()).clamp(min=1e-6)


def _restate(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    assert norm.running_mean is not None  # noqa: S101 - every norm of ours keeps statistics
    assert norm.running_var is not None  # noqa: S101
    mean, variance = mean.to(norm.running_mean), variance.to(norm.running_var)
    slope = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    norm.bias.add_(slope * (mean - norm.running_mean))
    norm.weight.copy_(slope * torch.sqrt(variance + norm.eps))
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
