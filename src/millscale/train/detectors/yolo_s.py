"""The small one of our YOLO family: ResNet-18 (He et al. 2016) to layer3, ImageNet weights, and dense convolutions."""

from torch import Tensor, nn
from torchvision import models

from millscale.imaging.preprocess import IMAGENET_MEAN, IMAGENET_STD
from millscale.train.detection import Detector, DetectorSpec
from millscale.train.detectors._blocks import CrossStage, PyramidPool, spatial
from millscale.train.detectors._yolo import Yolo
from millscale.train.network import load_weights

WEIGHTS = "resnet18_tv_upto_layer3.safetensors"
CHANNELS, HEAD_WIDTH = (128, 256, 256), 96


class _Stages(nn.Module):
    """ResNet-18's layer2 and layer3, then a stage of our own at stride 32."""

    def __init__(self, *, pretrained: bool) -> None:
        super().__init__()
        network = models.resnet18(weights=None)
        network.layer4, network.fc = nn.Identity(), nn.Identity()
        if pretrained:
            load_weights(network, WEIGHTS)
        stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
        self.fine = nn.Sequential(stem, network.layer1, network.layer2)
        self.middle = network.layer3
        coarse = CHANNELS[2]
        self.coarse = nn.Sequential(
            spatial(CHANNELS[1], coarse, 2, depthwise=False),
            PyramidPool(coarse),
            CrossStage(coarse, coarse, shortcut=False, depthwise=False),
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        fine = self.fine(images)
        middle = self.middle(fine)
        return fine, middle, self.coarse(middle)


def _build(classes: int, pretrained: bool) -> Detector:  # noqa: FBT001 - as its spec
    return Yolo(_Stages(pretrained=pretrained), CHANNELS, HEAD_WIDTH, classes, depthwise=False)


SPEC = DetectorSpec(
    "anchor-free, decoupled, dense; ResNet-18 to layer3 from ImageNet",
    "BSD-3-Clause",
    _build,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    folded=True,
)
