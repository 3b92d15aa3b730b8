"""Frozen backbones: which there are, where their files stand, and that each is the file it claims to be.

A backbone is an ONNX file that takes ``(n, 3, h, w)`` float32 RGB normalised by the ImageNet mean and
deviation, and gives feature maps ``(n, c, h', w')``. Its spec is one file in ``features/backbones``.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from millscale.core import plugins
from millscale.core.download import WEIGHTS_URL, downloaded, places, require_published
from millscale.core.errors import ModelError
from millscale.runtime.onnx_audit import check_onnx

PACKAGE = "millscale.features.backbones"
DEFAULT_BACKBONE = "millscale_s"


@dataclass(frozen=True)
class BackboneSpec:
    """What is known of a backbone before its file is opened.

    Attributes:
        outputs: the feature maps to pool, in this order; empty means all that the file has.
        sha256: of the ONNX file; None where the user brought the file.
        packaged: the file ships inside the package.
    """

    name: str
    description: str
    outputs: tuple[str, ...]
    licence: str
    sha256: str | None
    packaged: bool = False


@dataclass(frozen=True)
class Backbone:
    """A backbone whose file has been read and verified."""

    spec: BackboneSpec
    data: bytes

    @property
    def digest(self) -> str:
        """sha256 of the file, hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()


def open_backbones(joined: str) -> tuple[Backbone, ...]:
    """Backbones by name or path; several are joined by ``+``, as in ``resnet18+squeezenet1_1``, whose paths hold none.

    A name is looked for inside the package, then in the folder ``MILLSCALE_WEIGHTS``, then among the files
    fetched earlier. Nothing else stands in for a missing one, and nothing is downloaded.

    Raises:
        UsageError: unknown name.
        ModelError: the file is missing or is not the one that its name promises.
    """
    names = [joined] if Path(joined).is_file() else joined.split("+")
    return tuple(_open(name.strip()) for name in names)


def _open(name: str) -> Backbone:
    if name.endswith(".onnx"):
        return _open_file(Path(name))
    spec = spec_of(name)
    for place in _places(spec):
        if place.is_file():
            return Backbone(spec, _verified(place, spec))
    raise ModelError(
        f"Backbone '{name}': expected {name}.onnx in $MILLSCALE_WEIGHTS or among the fetched files, found it "
        f"in neither ({', '.join(str(p.parent) for p in _places(spec))}). Run `millscale data fetch {name}` "
        "with a network, set MILLSCALE_WEIGHTS to the folder that holds it, or give its path to --backbone."
    )


def spec_of(name: str) -> BackboneSpec:
    """The spec registered under ``name``."""
    spec: BackboneSpec = plugins.load(PACKAGE, name).SPEC
    return spec


def _places(spec: BackboneSpec) -> list[Path]:
    file = f"{spec.name}.onnx"
    if spec.packaged:
        return [Path(str(files("millscale.features"))) / "weights" / file]
    return places(file)


def _verified(path: Path, spec: BackboneSpec) -> bytes:
    data = path.read_bytes()
    if spec.sha256:
        require_published(path, data, spec.name, spec.sha256)
    check_onnx(data, str(path))
    return data


def _open_file(path: Path) -> Backbone:
    if not path.is_file():
        raise ModelError(f"Backbone file {path}: expected an ONNX file, found none. Check the path.")
    spec = BackboneSpec(path.stem, f"the file {path.name}", (), "stated by its owner", sha256=None)
    return Backbone(spec, _verified(path, spec))


def download_backbone(name: str, *, url: str = WEIGHTS_URL, report: Callable[[str], None] | None = None) -> Path:
    """Fetch a backbone by name into the cache, verify its pinned hash, and return its path.

    Args:
        name: a registered name.
        url: the folder to fetch from; ``NAME.onnx`` is appended.
        report: is told what happens, one line at a time.

    Raises:
        ModelError: no network, or not the expected file; nothing is left behind.
    """
    spec = spec_of(name)
    if spec.packaged:
        return _places(spec)[0]
    return downloaded(f"{name}.onnx", lambda path: _verified(path, spec), url=url, report=report)
