"""ResNet-50 v2 (He et al. 2016) up to stage 3, ImageNet."""

from millscale.features.backbone import BackboneSpec

SPEC = BackboneSpec(
    name="resnet50v2",
    description="ResNet-50 v2 (He et al. 2016) up to stage 3, ImageNet",
    outputs=("stage1", "stage2", "stage3"),
    licence="Apache-2.0",
    sha256="d9daab4994530aeeab8098bbf446a8cc1171e155783b96139fa05782bd5189a3",
)
