"""Networks that can be trained to classify: which there are, how they are built, where weights come from.

Each is one file in ``train/networks``; its name is the registered name.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from millscale.core import plugins
from millscale.core.errors import ModelError, UsageError
from millscale.train.published import find_weights

PACKAGE = "millscale.train.networks"


class PooledStages(nn.Module):
    """Stages in a row; the mean and deviation over space of some of their maps are the features.

    Args:
        stages: each takes the map of the one before, ``(n, c, h, w)``.
        pooled: the positions of the stages whose maps are pooled.
    """

    def __init__(self, stages: Sequence[nn.Module], pooled: Sequence[int]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.pooled = frozenset(pooled)

    def forward(self, images: Tensor) -> Tensor:
        """``(n, 3, h, w)`` normalised → ``(n, d)``."""
        features: list[Tensor] = []
        x = images
        for position, stage in enumerate(self.stages):
            x = stage(x)
            if position in self.pooled:
                features += mean_and_deviation(x)
        return torch.cat(features, 1)


def mean_and_deviation(maps: Tensor) -> list[Tensor]:
    """Of ``(n, c, h, w)`` over space, ``(n, c)`` each, in float32."""
    maps = maps.float()
    mean: Tensor = maps.mean((2, 3), keepdim=True)
    # The small number keeps the gradient finite where a channel is silent.
    return [mean.flatten(1), torch.sqrt(((maps - mean) ** 2).mean((2, 3)) + 1e-6)]


class Classifier(nn.Module):
    """Features, standardised by two fixed vectors, then one linear layer.

    Args:
        embed: ``(n, 3, h, w)`` normalised images → ``(n, d)``.
        width: d.
        classes: C.
        dropout: share of the features left out while training.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, embed: nn.Module, width: int, classes: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.embed = embed
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, classes)
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))

    def features(self, images: Tensor) -> Tensor:
        """``(n, 3, h, w)`` normalised → ``(n, d)`` float32, standardised."""
        embedded: Tensor = self.embed(images)
        return (embedded.float() - self.centre) / self.spread

    def forward(self, images: Tensor) -> Tensor:
        """``(n, 3, h, w)`` normalised → logits ``(n, C)``."""
        logits: Tensor = self.head(self.dropout(self.features(images)))
        return logits


@dataclass(frozen=True)
class NetworkSpec:
    """What is known of a network before it is built.

    Attributes:
        description: one line.
        licence: of the pretrained weights, or of nothing where there are none.
        build: (classes, (height, width) of the images) → the network, pretrained where it can be.
        pretrained: it starts from weights that were learned before.
        dense: no depthwise convolutions.
        any_size: takes images of other sizes than it was built for.
    """

    description: str
    licence: str
    build: Callable[[int, tuple[int, int]], Classifier]
    pretrained: bool = True
    dense: bool = True
    any_size: bool = True


def network_spec(name: str) -> NetworkSpec:
    """The network registered under ``name``.

    Raises:
        UsageError: no such name; the message lists those there are.
    """
    spec: NetworkSpec = plugins.load(PACKAGE, name).SPEC
    return spec


def build_network(spec: NetworkSpec, classes: int, size: tuple[int, int], seed: int) -> Classifier:
    """Build a network; what is random in it depends on the seed alone.

    Raises:
        ModelError: its pretrained weights are missing or are other ones.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return spec.build(classes, size)


def freeze(network: Classifier, count: int) -> None:
    """Let the first ``count`` stages keep their weights.

    Raises:
        UsageError: the network has fewer.
    """
    stages = network.embed.stages if isinstance(network.embed, PooledStages) else ()
    if count > len(stages):
        raise UsageError(f"frozen: expected at most {len(stages)} stages of this network, found {count}.")
    for stage in list(stages)[:count]:
        stage.requires_grad_(requires_grad=False)


def load_weights(network: nn.Module, file: str) -> None:
    """Load every parameter of ``network`` from a safetensors file; what else the file holds is left.

    The file is looked for in the folder ``MILLSCALE_WEIGHTS``, then among the files fetched earlier.

    Raises:
        ModelError: the file is missing, damaged, or does not fit.
    """
    network.load_state_dict(fitting(read_weights(file), network.state_dict(), find_weights(file)), strict=False)


def fitting(found: Mapping[str, Tensor], network: Mapping[str, Tensor], source: Path | str) -> dict[str, Tensor]:
    """Of the tensors found in ``source`` those of a network's state, all but the counts of batches.

    Raises:
        ModelError: one is absent or of another shape.
    """
    wanted = {name: t for name, t in network.items() if not name.endswith("num_batches_tracked")}
    wrong = [name for name, t in wanted.items() if name not in found or found[name].shape != t.shape]
    if wrong:
        raise ModelError(
            f"{source}: expected {len(wanted)} tensors of this network, found {len(wrong)} of them absent or "
            f"of another shape, the first '{wrong[0]}'. Give the weights of this very network."
        )
    return {name: found[name] for name in wanted}


def read_weights(file: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file, looked for as ``load_weights`` does.

    Raises:
        ModelError: the file is missing or damaged.
    """
    path = find_weights(file)
    try:
        return dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: expected a safetensors file, found: {error}. Copy it again.") from error


def fold_batch_norm(network: nn.Module) -> None:
    """Make every convolution and the batch norm after it one convolution, in place.

    What the network computes in evaluation mode stays the same; fine-tuned on small batches it is steadier,
    and faster.
    """
    for before, name in norms_after_convolutions(network):
        convolution, norm = network.get_submodule(before), network.get_submodule(name)
        assert isinstance(convolution, nn.Conv2d)  # noqa: S101 - what norms_after_convolutions names
        assert isinstance(norm, nn.BatchNorm2d)  # noqa: S101
        for path, layer in ((before, fuse_conv_bn_eval(convolution.eval(), norm.eval())), (name, nn.Identity())):
            parent, _, own = path.rpartition(".")
            setattr(network.get_submodule(parent), own, layer)


def norms_after_convolutions(network: nn.Module, prefix: str = "") -> list[tuple[str, str]]:
    """The names of each convolution and the batch norm that follows it: the layer registered next beside it."""
    pairs, before = [], ""
    for name, child in network.named_children():
        if before and isinstance(child, nn.BatchNorm2d):
            pairs.append((before, prefix + name))
        before = prefix + name if isinstance(child, nn.Conv2d) else ""
        pairs += norms_after_convolutions(child, f"{prefix}{name}.")
    return pairs


def pooled_width(channels: Iterable[int]) -> int:
    """Length of the features of pooled maps with these channels."""
    return 2 * sum(channels)
