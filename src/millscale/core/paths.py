"""Where the project keeps files between runs."""

import os
from pathlib import Path


def cache_dir(kind: str) -> Path:
    """The folder for cached files of one kind; ``MILLSCALE_CACHE`` moves all of them.

    Everything in it can be deleted at any time: it is computed or fetched again.
    """
    chosen = os.environ.get("MILLSCALE_CACHE")
    base = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "millscale"
    return base.expanduser() / kind
