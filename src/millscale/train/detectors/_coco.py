"""Detectors of the shape of YOLOX-nano (Ge et al. 2021, Apache-2.0), as wide or wider, and its COCO weights in them."""

import torch

from millscale.train.detectors._blocks import Darknet
from millscale.train.detectors._yolo import Yolo
from millscale.train.network import fitting, read_weights
from millscale.train.widen import widened

WEIGHTS = "yolox_nano_coco.safetensors"
_WIDTH, _HEAD_WIDTH = 16, 64
_OTHER = ("head.cls_preds.", "head.reg_preds.", "head.obj_preds.")
"""The last layers, whose classes and distances are not those of COCO."""


def coco_yolo(classes: int, times: int, *, pretrained: bool) -> Yolo:
    """A detector ``times`` as wide as the nano, from its weights or at random.

    Raises:
        ModelError: the weights are missing or are other ones.
    """
    network = _random(classes, times)
    if pretrained:
        load_coco(network)
    return network


def load_coco(network: Yolo) -> None:
    """Start a network that is as wide as the nano, or wider, from its weights; it computes what the nano does.

    Raises:
        ModelError: the weights are missing or are other ones.
    """
    with torch.device("meta"):  # the nano's shapes, without its numbers
        nano = _random(1, 1).state_dict()
    wanted = {name: tensor for name, tensor in nano.items() if not name.startswith(_OTHER)}
    found = fitting({_own_name(name): t for name, t in read_weights(WEIGHTS).items()}, wanted, WEIGHTS)
    # YOLOX takes BGR; Focus lays the three colours of each of four pixels side by side.
    stem = found["backbone.stem.conv.conv.weight"]
    found["backbone.stem.conv.conv.weight"] = stem.reshape(_WIDTH, 4, 3, 3, 3).flip(2).reshape(stem.shape)
    own = network.state_dict()
    network.load_state_dict(own | {name: widened(t, own[name].shape) for name, t in found.items()})


def _random(classes: int, times: int) -> Yolo:
    backbone = Darknet(times * _WIDTH, 1, depthwise=True)
    return Yolo(backbone, backbone.channels, times * _HEAD_WIDTH, classes, depthwise=True)


def _own_name(name: str) -> str:
    if name.startswith("backbone.backbone."):
        return name.removeprefix("backbone.")
    return name.replace("backbone.", "neck.", 1)
