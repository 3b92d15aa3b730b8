"""Weights that the project publishes: fetched by name into the cache, kept only if they are what they should be."""

import hashlib
import os
import shutil
import urllib.request
from collections.abc import Callable
from pathlib import Path

from millscale.core.errors import ModelError
from millscale.core.files import whole
from millscale.core.paths import cache_dir

WEIGHTS_URL = "https://github.com/millscale/millscale/releases/download/weights-1/"


def places(file: str) -> list[Path]:
    """Where a file of weights is looked for: the folder ``MILLSCALE_WEIGHTS``, then the files fetched earlier."""
    chosen = os.environ.get("MILLSCALE_WEIGHTS")
    return ([Path(chosen) / file] if chosen else []) + [cache_dir("weights") / file]


def require_published(path: Path, data: bytes, name: str, sha256: str) -> None:
    """Refuse a file that is not the published one of its name.

    Raises:
        ModelError: another hash; the message says how to fetch it again.
    """
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ModelError(
            f"{path}: expected the published {name} with sha256 {sha256[:12]}…, "
            f"found {found[:12]}…. Remove the file and run `millscale data fetch {name}`."
        )


def downloaded(
    file: str, verify: Callable[[Path], object], *, url: str = WEIGHTS_URL, report: Callable[[str], None] | None = None
) -> Path:
    """The file in the cache, fetched where it is not there yet, and verified either way.

    Args:
        file: its name.
        verify: raises where a file is another one.
        url: the folder to fetch from; ``file`` is appended.
        report: is told what happens, one line at a time.

    Raises:
        ModelError: no network, or what ``verify`` raises; nothing new is left behind.
    """
    target = cache_dir("weights") / file
    if not target.is_file():
        if report:
            report(f"Fetching {url}{file}")
        with whole(target) as partial:
            _download(url + file, partial)
            verify(partial)
    verify(target)
    return target


def _download(url: str, target: Path) -> None:
    try:
        with urllib.request.urlopen(url, timeout=30) as response, target.open("wb") as file:  # noqa: S310 - the caller named it
            shutil.copyfileobj(response, file)
    except OSError as error:
        raise ModelError(
            f"Cannot fetch {url}: {error}. Check the network, or put the file into a folder and set "
            "MILLSCALE_WEIGHTS to it."
        ) from error
