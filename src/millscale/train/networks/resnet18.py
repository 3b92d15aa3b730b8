"""ResNet-18 (He et al. 2016) up to layer3; the maps of its three layers are pooled."""

from torch import nn
from torchvision import models

from millscale.train.network import (
    Classifier,
    NetworkSpec,
    PooledStages,
    fold_batch_norm,
    load_weights,
    pooled_width,
)

WEIGHTS = "resnet18_tv_upto_layer3.safetensors"


def _build(classes: int, size: tuple[int, int]) -> Classifier:  # noqa: ARG001 - any size will do
    network = models.resnet18(weights=None)
    network.layer4, network.fc = nn.Identity(), nn.Identity()
    load_weights(network, WEIGHTS)
    fold_batch_norm(network)
    stem = nn.Sequential(network.conv1, network.relu, network.maxpool)
    stages = [stem, network.layer1, network.layer2, network.layer3]
    return Classifier(PooledStages(stages, pooled=(1, 2, 3)), pooled_width((64, 128, 256)), classes)


SPEC = NetworkSpec("ResNet-18 (He et al. 2016) up to layer3, ImageNet", "BSD-3-Clause", _build)
