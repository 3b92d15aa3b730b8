"""The images of a data set at the size a network sees them, decoded once and kept on disk."""

import hashlib
import math
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from millscale.core.errors import DataError
from millscale.core.files import whole
from millscale.data.manifest import Manifest
from millscale.imaging.decode import read_image, read_size
from millscale.imaging.preprocess import Preprocess
from millscale.imaging.tiling import framed, windows_of
from millscale.learn.recipe import Progress

Pixels = NDArray[np.uint8]
"""``(N, h, w, 3)`` uint8."""

LONGEST = 224
"""What ImageNet networks were trained at; fine texture is lost below the native size of such images."""


def batch_preprocess(manifest: Manifest, size: int) -> Preprocess:
    """All images at one size, because a network is trained on batches.

    Images of the same proportions are scaled, others letterboxed into a square.

    Args:
        manifest: the images; their headers are read.
        size: longer side in pixels; 0 keeps that of the largest image up to 224.
    """
    shapes = {read_size(record.path) for record in manifest.records}
    size = size or min(LONGEST, max(map(max, shapes)))
    scaled = {(round(size * h / max(w, h)), round(size * w / max(w, h))) for w, h in shapes}
    return Preprocess("resize", scaled.pop()) if len(scaled) == 1 else Preprocess("letterbox", (size, size))


def prepared_pixels(
    manifest: Manifest, preprocess: Preprocess, folder: Path, progress: Progress, tile: int = 0
) -> Pixels:
    """Every image as the network sees it, in a file of ``folder``; a whole file found there is used again.

    Args:
        manifest: the images.
        preprocess: brings all of them to one size.
        folder: made where missing.
        progress: called with (what, done, total).
        tile: pixels of the original along the side of the windows that stand for each image, one after the other; 0
            takes images whole.

    Raises:
        DataError: an image cannot be decoded, or the disk has no room for them.
    """
    what = f"{manifest.fingerprint}{preprocess.to_json()}{tile or ''}"
    key = hashlib.sha256(what.encode()).hexdigest()[:16]
    path = folder / f"pixels-{key}.npy"
    with suppress(OSError, EOFError, ValueError):  # none there, or one that lost its end
        return _opened(path)
    for lost in folder.glob("pixels-*.part"):  # gigabytes, of a training that was killed
        lost.unlink()
    with whole(path) as partial:
        _write(manifest, preprocess, partial, progress, tile)
    return _opened(path)


def _opened(path: Path) -> Pixels:
    pixels: Pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    return pixels


def _write(manifest: Manifest, preprocess: Preprocess, path: Path, progress: Progress, tile: int) -> None:
    assert preprocess.size is not None  # noqa: S101 - batch_preprocess gives one
    sizes = [read_size(record.path)[::-1] for record in manifest.records]
    windows = [windows_of(size, tile) if tile else [] for size in sizes]
    count = sum(max(1, len(each)) for each in windows)
    shape = (count, *preprocess.size, 3)
    needed, free = math.prod(shape), shutil.disk_usage(path.parent).free
    if needed > free:  # else the first page without room would kill the process without a word
        raise DataError(
            f"{path.parent}: expected {needed / 1e9:.1f} GB of free space for {count} pictures at the network's size, "
            f"found {free / 1e9:.1f} GB. Make room, lower the size, or put the run on another disk with --out."
        )
    pixels = open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    row = 0
    for done, (record, each) in enumerate(zip(manifest.records, windows, strict=True), 1):
        image = read_image(record.path)
        for picture in (framed(image, window, tile) for window in each) if tile else (image,):
            pixels[row], _ = preprocess.apply(picture)
            row += 1
        if done % 64 == 0 or done == len(manifest):
            progress("images", done, len(manifest))
    pixels.flush()


def grey_or_coloured(pixels: Pixels) -> Pixels:
    """``(N, h, w, 1)`` where the three colours of every image are the same, else what was given; nothing is copied."""
    return pixels if any((image != image[..., :1]).any() for image in pixels) else pixels[..., :1]
