"""The nano of our YOLO family: the depthwise CSPDarknet of YOLOX-nano (Ge et al. 2021), COCO weights, 0.9 M."""

from millscale.train.detection import Detector, DetectorSpec
from millscale.train.detectors._coco import coco_yolo


def _build(classes: int, pretrained: bool) -> Detector:  # noqa: FBT001 - as its spec
    return coco_yolo(classes, 1, pretrained=pretrained)


SPEC = DetectorSpec(
    "anchor-free, decoupled, depthwise; starts from YOLOX-nano's COCO weights",
    "Apache-2.0",
    _build,
    mean=(0.0, 0.0, 0.0),
    std=(1 / 255, 1 / 255, 1 / 255),
    dense=False,
    folded=True,
)
