"""Backbones of several maps: stages in a row, each at half the resolution of the one before."""

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision import models

from millscale.train.network import fold_batch_norm, load_weights

RESNET_CHANNELS = (128, 256)
MOBILENET_CHANNELS = (192, 576, 1280)


class Stages(nn.Module):
    """The maps of every stage; the first is at stride 8."""

    def __init__(self, stages: Sequence[nn.Module]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)

    def forward(self, images: Tensor) -> list[Tensor]:
        """``(n, 3, h, w)`` normalised → ``(n, c_k, h / 2^(k+3), w / 2^(k+3))``, k from 0."""
        maps: list[Tensor] = []
        for stage in self.stages:
            maps.append(stage(maps[-1] if maps else images))
        return maps


def resnet18_stages(*, pretrained: bool) -> list[nn.Module]:
    """ResNet-18 (He et al. 2016) to layer3: two stages of ``RESNET_CHANNELS``, at strides 8 and 16.

    Raises:
        ModelError: the weights are missing or are other ones.
    """
    network = models.resnet18(weights=None)
    network.layer4, network.fc = nn.Identity(), nn.Identity()
    if pretrained:
        _start(network, "resnet18_tv_upto_layer3.safetensors")
    stem = [network.conv1, network.bn1, network.relu, network.maxpool, network.layer1]
    return [nn.Sequential(*stem, network.layer2), network.layer3]


def mobilenet_v2_stages(*, pretrained: bool) -> list[nn.Module]:
    """MobileNetV2 (Sandler et al. 2018): three stages of ``MOBILENET_CHANNELS``, at strides 8, 16 and 32.

    A stage ends inside the block that halves the resolution, after its widening: SSDLite's place.

    Raises:
        ModelError: the weights are missing or are other ones.
    """
    network = models.mobilenet_v2(weights=None)
    network.classifier = nn.Identity()
    if pretrained:
        _start(network, "mobilenet_v2_onnxzoo_backbone.safetensors")
    blocks = network.features
    first, second = blocks[7].conv, blocks[14].conv
    return [
        nn.Sequential(*blocks[:7], first[0]),
        nn.Sequential(*first[1:], *blocks[8:14], second[0]),
        nn.Sequential(*second[1:], *blocks[15:]),
    ]


def _start(network: nn.Module, file: str) -> None:
    """Load pretrained weights, whose batch norm is folded, so that it must not move any more."""
    load_weights(network, file)
    fold_batch_norm(network)
