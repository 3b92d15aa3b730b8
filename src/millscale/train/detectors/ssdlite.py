"""SSDLite (Sandler et al. 2018) on MobileNetV2: SSD with depthwise separable heads and extra layers."""

from functools import partial

from torch import nn
from torchvision.models.detection.ssdlite import SSDLiteHead
from torchvision.ops import Conv2dNormActivation

from millscale.imaging.preprocess import IMAGENET_MEAN, IMAGENET_STD
from millscale.train.detection import Detector, DetectorSpec
from millscale.train.detectors._anchors import LEVELS, PER_PLACE
from millscale.train.detectors._single_shot import SingleShot
from millscale.train.detectors._stages import MOBILENET_CHANNELS, Stages, mobilenet_v2_stages

_WIDTH = 512


def _build(classes: int, pretrained: bool) -> Detector:  # noqa: FBT001 - as its spec
    stages = [*mobilenet_v2_stages(pretrained=pretrained), _halved(MOBILENET_CHANNELS[-1])]
    channels = [*MOBILENET_CHANNELS, _WIDTH]
    return SingleShot(Stages(stages), SSDLiteHead(channels, [PER_PLACE] * LEVELS, classes + 1, nn.BatchNorm2d))


def _halved(channels: int) -> nn.Module:
    """1×1 to half the width, depthwise 3×3 with stride 2, 1×1 to the full width."""
    narrow = _WIDTH // 2
    layer = partial(Conv2dNormActivation, activation_layer=nn.ReLU6)
    return nn.Sequential(
        layer(channels, narrow, kernel_size=1),
        layer(narrow, narrow, kernel_size=3, stride=2, groups=narrow),
        layer(narrow, _WIDTH, kernel_size=1),
    )


SPEC = DetectorSpec(
    "SSDLite (Sandler et al. 2018) on MobileNetV2, ImageNet", "Apache-2.0", _build, IMAGENET_MEAN, IMAGENET_STD
)
