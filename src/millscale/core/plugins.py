"""Plug-ins by file name: a module ``resnet18.py`` in a plug-in folder registers the name ``resnet18``.

Listing reads file names and imports nothing. Other distributions add folders through the entry-point
group ``millscale.<kind>``, whose entries name one module each.
"""

import importlib
import pkgutil
from importlib.metadata import entry_points
from importlib.util import find_spec
from types import ModuleType

from millscale.core.errors import unknown_name


def names(package: str) -> list[str]:
    """The registered names of a plug-in package such as ``millscale.features.backbones``, sorted."""
    return sorted(_locations(package))


def load(package: str, name: str) -> ModuleType:
    """Import the plug-in registered as ``name``.

    Raises:
        UsageError: no such name; the message lists those there are.
    """
    locations = _locations(package)
    if name not in locations:
        raise unknown_name(package.rpartition(".")[2].rstrip("s"), name, locations)
    return importlib.import_module(locations[name])


def _locations(package: str) -> dict[str, str]:
    spec = find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    built_in = {
        info.name: f"{package}.{info.name}" for info in pkgutil.iter_modules(folders) if not info.name.startswith("_")
    }
    added = {entry.name: entry.value for entry in entry_points(group=package)}
    return built_in | added
