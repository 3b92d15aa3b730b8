"""``millscale doctor``."""

import os
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer

from millscale.cli.output import emit, failing_clearly, say

_FLOORS = {
    "serve": ("numpy", "Pillow", "onnxruntime", "pydantic", "typer", "rich", "defusedxml", "pyyaml"),
    "learn": ("scikit-learn", "scipy", "onnx", "matplotlib", "jinja2", "faster-coco-eval"),
    "train": ("torch", "torchvision", "safetensors"),
    "openvino": ("openvino",),
    "fetch": ("kagglehub",),
    "umap": ("umap-learn",),
}


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """Say what is installed, what is missing, and the exact command that fixes it."""
    with failing_clearly():
        from millscale.core import plugins
        from millscale.core.paths import cache_dir
        from millscale.core.version import __version__
        from millscale.features.backbone import open_backbones
        from millscale.train.published import PUBLISHED, find_weights

        backbones = {name: _state(open_backbones, name) for name in plugins.names("millscale.features.backbones")}
        training = {name: _state(find_weights, f"{name}.safetensors") for name in PUBLISHED}
        document = {
            "millscale": __version__,
            "python": sys.version.split()[0],
            "cores": os.cpu_count(),
            "floors": {floor: {name: _version(name) for name in names} for floor, names in _FLOORS.items()},
            "backbones": backbones,
            "training_weights": training,
            "weights": os.environ.get("MILLSCALE_WEIGHTS"),
            "cache": str(cache_dir("")),
            "fixes": _fixes(),
        }
        if as_json:
            emit(document)
        else:
            _tell(document)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _fixes() -> list[str]:
    missing = [floor for floor, names in _FLOORS.items() if any(_version(name) is None for name in names)]
    return [f'pip install "millscale[{floor}]"' if floor != "serve" else "pip install millscale" for floor in missing]


def _state(find: Callable[[str], object], name: str) -> str:
    from millscale.core.errors import MillscaleError

    try:
        find(name)
    except MillscaleError as error:
        return str(error)
    return "ready"


def _tell(document: dict[str, Any]) -> None:
    say(f"millscale {document['millscale']}, Python {document['python']}, {document['cores']} cores")
    for floor, found in document["floors"].items():
        parts = ", ".join(f"{name} {number or 'MISSING'}" for name, number in found.items())
        say(f"{floor}: {parts}")
    for name, state in document["backbones"].items():
        say(f"backbone {name}: {state}")
    for name, state in document["training_weights"].items():
        say(f"weights {name}: {state}")
    say(f"cache: {document['cache']}")
    for fix in document["fixes"]:
        say(f"To add what is missing: {fix}")
