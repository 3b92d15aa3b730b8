"""Read a data set, whatever its layout."""

from pathlib import Path
from typing import Protocol, cast

from millscale.core import plugins
from millscale.core.errors import DataError
from millscale.data.manifest import Manifest
from millscale.data.scan import Scan, scan

FORMATS = "millscale.data.formats"


class Format(Protocol):
    """What a format module offers; ``data/formats/__init__.py`` says more."""

    DESCRIPTION: str
    PRIORITY: int

    def matches(self, folder: Scan) -> bool:
        """Is ``folder`` laid out like this, judging by names alone?"""

    def read(self, folder: Scan) -> Manifest:
        """Return the manifest of ``folder``."""


def read(path: Path | str, *, format: str | None = None) -> Manifest:  # noqa: A002
    """Read the data folder ``path``.

    Images that cannot be used are not in the manifest's records but in its ``problems``. Headers are read,
    pixels are not: a file damaged behind its header is found when it is decoded.

    Args:
        path: the folder.
        format: a layout's name (``plugins.names(FORMATS)``, or ``voc``); by default the most specific that fits.

    Raises:
        UsageError: no layout is called ``format``.
        DataError: no such folder, no image in it, or no layout fits.
    """
    asked = None if format is None else _format(layout_name(format))
    folder = scan(Path(path))
    if asked:
        return asked.read(folder)
    if not folder.images:
        raise DataError(_no_image(folder))
    for layout in _by_priority():
        if layout.matches(folder):
            return layout.read(folder)
    raise DataError(_no_layout(folder))


def layout_name(text: str) -> str:
    """A layout's name as it is registered, of what people call it: ``voc``, ``class-folders``."""
    name = text.replace("-", "_")
    return {"voc": "pascal_voc"}.get(name, name)


def _format(name: str) -> Format:
    return cast(Format, plugins.load(FORMATS, name))


def _by_priority() -> list[Format]:
    layouts = [_format(name) for name in plugins.names(FORMATS)]
    return sorted(layouts, key=lambda layout: layout.PRIORITY, reverse=True)


def _no_image(content: Scan) -> str:
    others = len(content.others)
    unlisted = "".join(f" {problem.path}: {problem.message}." for problem in content.problems[:3])
    return (
        f"{content.root}: expected images (BMP, PNG, JPEG, TIFF, WebP), found none in "
        f"{len(content.folders)} folders and {others} other files.{unlisted} Give the folder that holds them."
    )


def _no_layout(content: Scan) -> str:
    shown = ", ".join(str(image) for image in content.images[:3])
    known = "; ".join(f"{name}: {_format(name).DESCRIPTION}" for name in plugins.names(FORMATS))
    return (
        f"{content.root}: expected one of the known layouts, found {len(content.images)} images such as "
        f"{shown}. Arrange them as one of these, or name one with format=…: {known}."
    )
