"""MobileNetV2 (Sandler et al. 2018), ImageNet."""

from millscale.features.backbone import BackboneSpec

SPEC = BackboneSpec(
    name="mobilenet_v2",
    description="MobileNetV2 (Sandler et al. 2018), ImageNet",
    outputs=("stride4", "stride8", "stride16"),
    licence="Apache-2.0",
    sha256="1178212b69b6f4e24758922d1fe674e613466131c2378970b287a42676b6d8f6",
)
