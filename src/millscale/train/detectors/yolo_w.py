"""The nano of our YOLO family twice as wide, grown from the same COCO weights, 3.5 M."""

from millscale.train.detection import Detector, DetectorSpec
from millscale.train.detectors._coco import coco_yolo


def _build(classes: int, pretrained: bool) -> Detector:  # noqa: FBT001 - as its spec
    return coco_yolo(classes, 2, pretrained=pretrained)


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
