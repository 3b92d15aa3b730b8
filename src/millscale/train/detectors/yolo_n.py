"""The nano of our YOLO family: the depthwise CSPDarknet of YOLOX-nano (Ge et al. 2021), COCO weights, 0.9 M."""

from millscale.train.detection import Detector, DetectorSpec
from millscale.train.detectors._blocks import Darknet
from millscale.train.detectors._yolo import Yolo
from millscale.train.network import read_weights

WEIGHTS = "yolox_nano_coco.safetensors"
WIDTH, HEAD_WIDTH = 16, 64


def _build(classes: int, size: tuple[int, int], pretrained: bool) -> Detector:  # noqa: ARG001, FBT001 - any size will do
    backbone = Darknet(WIDTH, 1, depthwise=True)
    network = Yolo(backbone, backbone.channels, HEAD_WIDTH, classes, depthwise=True)
    if pretrained:
        _load(network)
    return network


def _load(network: Yolo) -> None:
    """Everything but the last layers, whose classes and distances are others."""
    found = {_own_name(name): tensor for name, tensor in read_weights(WEIGHTS).items()}
    own = network.state_dict()
    fitting = {name: t for name, t in found.items() if name in own and own[name].shape == t.shape}
    # YOLOX takes BGR; Focus lays the three colours of each of four pixels side by side.
    stem = fitting["backbone.stem.conv.conv.weight"]
    fitting["backbone.stem.conv.conv.weight"] = stem.reshape(WIDTH, 4, 3, 3, 3).flip(2).reshape(stem.shape)
    network.load_state_dict({**own, **fitting})


def _own_name(name: str) -> str:
    return (
        name.removeprefix("backbone.")
        if name.startswith("backbone.backbone.")
        else name.replace("backbone.", "neck.", 1)
    )


SPEC = DetectorSpec(
    "anchor-free, decoupled, depthwise; starts from YOLOX-nano's COCO weights",
    "Apache-2.0",
    _build,
    mean=(0.0, 0.0, 0.0),
    std=(1 / 255, 1 / 255, 1 / 255),
    dense=False,
    folded=True,
)
