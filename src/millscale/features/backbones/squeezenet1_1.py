"""SqueezeNet 1.1 (Iandola et al. 2016), ImageNet."""

from millscale.features.backbone import BackboneSpec

SPEC = BackboneSpec(
    name="squeezenet1_1",
    description="SqueezeNet 1.1 (Iandola et al. 2016), ImageNet",
    outputs=("stride4", "stride8", "stride16"),
    licence="Apache-2.0",
    sha256="8877f77ab499ae7bf1111cb1ea080e7fbfe7d13ebe623e5a2263dc950dce21c3",
)
