"""The published weights that networks and detectors start from; listing and fetching them needs no torch."""

from collections.abc import Callable
from pathlib import Path

from millscale.core.download import WEIGHTS_URL, downloaded, places, require_published
from millscale.core.errors import ModelError

PUBLISHED = {
    "mobilenet_v2_onnxzoo_backbone": "8c24e472c2360d3454063fa617ff781706a0495d26aa8ef507fb1d5f3fd8e2d1",
    "resnet18_tv_upto_layer3": "e6e5790f7721096d390c164709528bea25d5853af1f4b8f28e2b1bfa2b80cb6a",
    "yolox_nano_coco": "37a4ab6ccfc8d1bd6f74de43b07fa5ac8dbc82cf4c9c8c91decaaf656fa7c6f0",
}
"""Name → sha256 of ``NAME.safetensors``."""


def download_weights(name: str, *, url: str = WEIGHTS_URL, report: Callable[[str], None] | None = None) -> Path:
    """Fetch weights by name into the cache, verify their pinned hash, and return their path.

    Args:
        name: of ``PUBLISHED``.
        url: the folder to fetch from; ``NAME.safetensors`` is appended.
        report: is told what happens, one line at a time.

    Raises:
        ModelError: no network, or not the expected file; nothing is left behind.
    """

    def verify(path: Path) -> None:
        require_published(path, path.read_bytes(), name, PUBLISHED[name])

    return downloaded(f"{name}.safetensors", verify, url=url, report=report)


def find_weights(file: str) -> Path:
    """Where a file of weights lies: in the folder ``MILLSCALE_WEIGHTS``, or among the files fetched earlier.

    Raises:
        ModelError: in neither.
    """
    candidates = places(file)
    for place in candidates:
        if place.is_file():
            return place
    raise ModelError(
        f"Pretrained weights: expected {file} in $MILLSCALE_WEIGHTS or among the fetched files, found it in none of "
        f"{', '.join(str(place.parent) for place in candidates)}. Run `millscale data fetch {Path(file).stem}` with a "
        "network, set MILLSCALE_WEIGHTS to the folder that holds it, or train without it: --set network=millscale_s, "
        "--recipe probe or --recipe scratch; a detector at --set start=random, yolo_n or yolo_w at --set "
        "start=packaged."
    )
