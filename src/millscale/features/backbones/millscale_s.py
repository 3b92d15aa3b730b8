"""Our own backbone, distilled on metal surfaces without any NEU image; ships inside the package."""

from millscale.features.backbone import BackboneSpec

SPEC = BackboneSpec(
    name="millscale_s",
    description="millscale's own, distilled on metal surfaces; inside the package",
    outputs=("stride4", "stride8", "stride16"),
    licence="Apache-2.0",
    sha256=None,
    packaged=True,
)
