"""The packaged backbone, opened again for training; the maps at strides 4, 8 and 16 are pooled."""

from millscale.features.backbone import open_backbones
from millscale.train.graph import PooledGraph
from millscale.train.network import Classifier, NetworkSpec


def _build(classes: int, size: tuple[int, int]) -> Classifier:  # noqa: ARG001 - any size will do
    backbone = open_backbones("millscale_s")[0]
    embed = PooledGraph(backbone.data, backbone.spec.outputs)
    return Classifier(embed, embed.width, classes)


SPEC = NetworkSpec("the packaged backbone, distilled on metal surfaces", "Apache-2.0", _build)
