"""Inspect metal surfaces: from a folder of images to a model with evidence, and its verdicts.

Names are loaded when first used, so ``import millscale`` costs nothing.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from millscale.core.version import __version__ as __version__

_NAMES = {
    "read": "millscale.data.read",
    "fetch": "millscale.data.fetch",
    "check": "millscale.data.audit.check",
    "split": "millscale.data.split",
    "load_split": "millscale.data.split",
    "leaks": "millscale.data.leaks",
    "draw_groups": "millscale.data.audit.mosaic",
    "make_dataset": "millscale.data.synthetic",
    "train": "millscale.pipeline.api",
    "cluster": "millscale.pipeline.api",
    "suggest": "millscale.pipeline.suggest",
    "learning_curve": "millscale.pipeline.curve",
    "read_labels": "millscale.data.labels",
    "evaluate": "millscale.pipeline.evaluate",
    "read_image": "millscale.imaging.decode",
    "Inspector": "millscale.runtime.inspector",
    "Manifest": "millscale.data.manifest",
}
__all__ = [*_NAMES, "__version__"]  # noqa: PLE0604 - the names are strings

if TYPE_CHECKING:
    from millscale.data.audit.check import check as check
    from millscale.data.audit.mosaic import draw_groups as draw_groups
    from millscale.data.fetch import fetch as fetch
    from millscale.data.labels import read_labels as read_labels
    from millscale.data.leaks import leaks as leaks
    from millscale.data.manifest import Manifest as Manifest
    from millscale.data.read import read as read
    from millscale.data.split import load_split as load_split
    from millscale.data.split import split as split
    from millscale.data.synthetic import make_dataset as make_dataset
    from millscale.imaging.decode import read_image as read_image
    from millscale.pipeline.api import cluster as cluster
    from millscale.pipeline.api import train as train
    from millscale.pipeline.curve import learning_curve as learning_curve
    from millscale.pipeline.evaluate import evaluate as evaluate
    from millscale.pipeline.suggest import suggest as suggest
    from millscale.runtime.inspector import Inspector as Inspector


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'millscale' has no attribute '{name}'")
    return getattr(import_module(_NAMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)


class _Package(ModuleType):
    """Keeps ``millscale.train`` the function: importing the subpackage of that name would put itself there."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _NAMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
