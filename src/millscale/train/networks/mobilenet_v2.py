"""MobileNetV2 (Sandler et al. 2018) up to stride 16; the maps at strides 4, 8 and 16 are pooled."""

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

WEIGHTS = "mobilenet_v2_onnxzoo_backbone.safetensors"
_ENDS = (2, 4, 7, 14)
"""Where the resolution is about to halve."""


def _build(classes: int, size: tuple[int, int]) -> Classifier:  # noqa: ARG001 - any size will do
    network = models.mobilenet_v2(weights=None)
    network.features, network.classifier = network.features[: _ENDS[-1]], nn.Identity()
    load_weights(network, WEIGHTS)
    fold_batch_norm(network)
    stages = [network.features[start:end] for start, end in zip((0, *_ENDS), _ENDS, strict=False)]
    return Classifier(PooledStages(stages, pooled=(1, 2, 3)), pooled_width((24, 32, 96)), classes)


SPEC = NetworkSpec("MobileNetV2 (Sandler et al. 2018) up to stride 16, ImageNet", "Apache-2.0", _build, dense=False)
