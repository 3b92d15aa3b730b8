"""ResNet-18 (He et al. 2016) up to layer3, ImageNet."""

from millscale.features.backbone import BackboneSpec

SPEC = BackboneSpec(
    name="resnet18",
    description="ResNet-18 (He et al. 2016) up to layer3, ImageNet",
    outputs=("layer1", "layer2", "layer3"),
    licence="BSD-3-Clause",
    sha256="d051bd2f992e97c4b762838d9ecfd93aa12619b8e62edd7d0e49dc6604ce4d1b",
)
