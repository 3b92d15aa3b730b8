"""SSD (Liu et al. 2016) on ResNet-18 (He et al. 2016): maps at strides 8, 16, 32 and 64."""

from torch import nn
from torchvision.models.detection.ssd import SSDHead

from millscale.imaging.preprocess import IMAGENET_MEAN, IMAGENET_STD
from millscale.train.detection import Detector, DetectorSpec
from millscale.train.detectors._anchors import LEVELS, PER_PLACE
from millscale.train.detectors._single_shot import SingleShot
from millscale.train.detectors._stages import RESNET_CHANNELS, Stages, resnet18_stages

_WIDTH = 512


def _build(classes: int, pretrained: bool) -> Detector:  # noqa: FBT001 - as its spec
    stages = [*resnet18_stages(pretrained=pretrained), _halved(RESNET_CHANNELS[-1]), _halved(_WIDTH)]
    head = SSDHead([*RESNET_CHANNELS, _WIDTH, _WIDTH], [PER_PLACE] * LEVELS, classes + 1)
    return SingleShot(Stages(stages), head)


def _halved(channels: int) -> nn.Module:
    """The paper's extra layers: a narrow 1×1 convolution, then a 3×3 one with stride 2."""
    return nn.Sequential(
        nn.Conv2d(channels, _WIDTH // 2, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(_WIDTH // 2, _WIDTH, 3, stride=2, padding=1),
        nn.ReLU(inplace=True),
    )


SPEC = DetectorSpec(
    "SSD (Liu et al. 2016) on ResNet-18, ImageNet", "BSD-3-Clause", _build, IMAGENET_MEAN, IMAGENET_STD, rate=5e-4
)
