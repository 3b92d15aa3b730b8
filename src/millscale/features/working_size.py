"""At which size a data set's images go through a backbone."""

from collections.abc import Callable

from millscale.core.errors import UsageError
from millscale.data.manifest import Manifest
from millscale.imaging.decode import read_size
from millscale.imaging.preprocess import Preprocess

LONGEST = 320
"""Defects of a few pixels survive this, and a two-core machine still answers within milliseconds."""


def check_size(size: int) -> None:
    """Refuse a working size in pixels, 0 for none, at which nothing could be seen.

    Raises:
        UsageError: negative, or below 32.
    """
    if size < 0 or 0 < size < 32:
        raise UsageError(f"size: expected 0 or at least 32 pixels, found {size}.")


def fitting(manifest: Manifest, size: int = 0, progress: Callable[[str, int, int], None] | None = None) -> Preprocess:
    """Images as they are while the largest is small enough, else all scaled to fit, proportions kept.

    Args:
        manifest: the images; their headers are read.
        size: wanted longer side in pixels; 0 decides as above.
        progress: called with (what, done, total), where images are scaled that nobody asked to.
    """
    if size:
        return Preprocess("fit", (size, size))
    longest = max(max(read_size(record.path)) for record in manifest.records)
    if longest <= LONGEST:
        return Preprocess()
    if progress:
        told = f"ahead: images of up to {longest} pixels: all are brought to {LONGEST} along the longer side"
        progress(f"{told}; --set size=N keeps more", 1, 1)
    return Preprocess("fit", (LONGEST, LONGEST))
