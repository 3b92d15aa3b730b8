"""The nano of our YOLO family twice as wide, grown from the same COCO weights, 3.5 M."""

from millscale.train.detection import Detector, DetectorSpec
from millscale.train.detectors._blocks import Darknet
from millscale.train.detectors._coco import HEAD_WIDTH, WIDTH, load_coco
from millscale.train.detectors._yolo import Yolo


def _build(classes: int, size: tuple[int, int], pretrained: bool) -> Detector:  # noqa: ARG001, FBT001 - any size will do
    backbone = Darknet(2 * WIDTH, 1, depthwise=True)
    network = Yolo(backbone, backbone.channels, 2 * HEAD_WIDTH, classes, depthwise=True)
    if pretrained:
        load_coco(network, 2)
    return network


SPEC = DetectorSpec(
    "anchor-free, decoupled, depthwise, twice as wide as the nano; starts from YOLOX-nano's COCO weights",
    "Apache-2.0",
    _build,
    mean=(0.0, 0.0, 0.0),
    std=(1 / 255, 1 / 255, 1 / 255),
    dense=False,
    rate=5e-4,
    folded=True,
)
