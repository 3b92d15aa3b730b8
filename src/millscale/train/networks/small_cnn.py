"""The baseline: four convolutions with max pooling, a dense layer, dropout, as in an introductory course."""

from itertools import pairwise

from torch import nn

from millscale.core.errors import UsageError
from millscale.train.network import Classifier, NetworkSpec

CHANNELS = (3, 32, 64, 128, 128)
DENSE = 128


def _build(classes: int, size: tuple[int, int]) -> Classifier:
    layers: list[nn.Module] = []
    for channels_in, channels_out in pairwise(CHANNELS):
        layers += [nn.Conv2d(channels_in, channels_out, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    shrunk = 2 ** (len(CHANNELS) - 1)
    if min(size) < shrunk:
        raise UsageError(
            f"size: expected images of {shrunk} pixels or more along the shorter side, found {min(size)}. Ask for more "
            "with --set size=N, or use another recipe."
        )
    flat = CHANNELS[-1] * (size[0] // shrunk) * (size[1] // shrunk)
    embed = nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, DENSE), nn.ReLU())
    return Classifier(embed, DENSE, classes, dropout=0.5)


SPEC = NetworkSpec(
    "four convolutions and two dense layers, 1.3 M parameters at 128 pixels, from random weights",
    "none: no pretrained weights",
    _build,
    pretrained=False,
    any_size=False,
)
