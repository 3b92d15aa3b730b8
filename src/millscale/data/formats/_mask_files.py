"""Masks among the images of a folder, told by their place or by their pixels, and what they show."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import permutations
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import DataError
from millscale.core.types import Problem
from millscale.data.classes import is_good
from millscale.data.formats._drawn import AnnotationError
from millscale.data.formats._pairing import MASK_FOLDERS, lies_in, pair
from millscale.data.manifest import Manifest
from millscale.data.masks import foreground
from millscale.data.scan import Scan
from millscale.imaging.decode import read_mask, read_size

_LOSSLESS = (".png", ".bmp", ".tif", ".tiff")
_SUFFIXES = ("_mask", "_gt", "-mask", "_label")
_EXTREME, _MOSTLY = 16, 0.95
"""A mask's values lie this near to black or white, but for this share of its pixels: its edges may be soft."""


def masks_in_folders(content: Scan) -> dict[PurePosixPath, PurePosixPath]:
    """Image → mask, where masks lie in a folder called so and bear the image's name, with or without ``_mask``."""
    masks = [path for path in content.images if lies_in(path, MASK_FOLDERS)]
    pictures = [path for path in content.images if not lies_in(path, MASK_FOLDERS)]
    return pair(pictures, masks, _stem) if masks else {}


def masks_beside(content: Scan) -> dict[PurePosixPath, tuple[PurePosixPath, bool]]:
    """Image → its mask, a lossless picture of black and white beside it with the same name, and whether it shows any.

    Where each of two could be the other's, neither is.
    """
    named: dict[PurePosixPath, list[PurePosixPath]] = defaultdict(list)
    for path in content.images:
        named[path.with_suffix("")].append(path)
    pairs = (pair for paths in named.values() for pair in permutations(paths, 2))
    lossless = [(image, mask) for image, mask in pairs if mask.suffix.lower() in _LOSSLESS]
    shows = {pair: _shows(content.root / pair[1], content.root / pair[0]) for pair in lossless}
    return {
        image: (mask, found)
        for (image, mask), found in shows.items()
        if found is not None and shows.get((mask, image)) is None
    }


def masks_named(content: Scan) -> dict[PurePosixPath, PurePosixPath]:
    """Image → mask, where the mask lies beside its image and bears its name with ``_label``, ``_GT`` or ``_mask``."""
    images = {path.with_suffix(""): path for path in content.images}
    owners = {path: images.get(path.with_name(_stem(path))) for path in content.images}
    return {image: mask for mask, image in owners.items() if image is not None and _stem(mask) != mask.stem}


def without(content: Scan, masks: Iterable[PurePosixPath]) -> Scan:
    """The same content, the masks no longer among its images."""
    known = set(masks)
    return replace(content, images=tuple(path for path in content.images if path not in known))


def with_masks(
    manifest: Manifest, content: Scan, masks: Mapping[PurePosixPath, tuple[PurePosixPath, bool]]
) -> Manifest:
    """The same manifest, each record with its mask; told where a mask does not show what the label says."""
    files = {str(image): content.root / mask for image, (mask, _) in masks.items()}
    records = tuple(replace(r, mask=files.get(r.id, r.mask)) for r in manifest.records)
    shows = {str(image): found for image, (_, found) in masks.items()}
    told = (contradiction(r.label, r.mask, r.id, shows=shows[r.id]) for r in records if r.label and r.mask)
    return replace(manifest, records=records, problems=(*manifest.problems, *filter(None, told)))


def contradiction(label: str, mask: Path, image: str, *, shows: bool) -> Problem | None:
    """The problem of an image of this class whose mask shows a defect, or none, against its class."""
    if is_good(label) != shows:
        return None
    says = "shows a defect" if shows else "shows nothing"
    fix = "Correct the mask, or move the image to the class that it shows."
    return Problem("label_and_mask", str(mask), f"class '{label}', but its mask {says}", fix, image=image)


def mask_of_size(path: Path, size: tuple[int, int]) -> NDArray[np.bool_]:
    """``(H, W)`` bool, the foreground of a mask file.

    Args:
        size: (width, height) that it must have, its image's.

    Raises:
        AnnotationError: it cannot be decoded, or has another size.
    """
    expected = f"a mask of {size[0]} x {size[1]} pixels like its image"
    try:
        pixels = read_mask(path)
    except DataError as error:
        raise AnnotationError(str(path), expected, error) from error
    if pixels.shape[1::-1] != size:
        raise AnnotationError(str(path), expected, f"{pixels.shape[1]} x {pixels.shape[0]}")
    return foreground(pixels)


def _stem(path: PurePosixPath) -> str:
    stem = path.stem
    ending = next((suffix for suffix in _SUFFIXES if stem.lower().endswith(suffix)), "")
    return stem[: len(stem) - len(ending)]


def _shows(path: Path, image: Path) -> bool | None:
    """Does it show a defect? None where it is no mask: not grey, not almost only black and white, of another size."""
    try:
        pixels = read_mask(path)
        same_size = read_size(image) == pixels.shape[1::-1]
    except DataError:
        return None
    extreme = (pixels <= _EXTREME) | (pixels >= 255 - _EXTREME)
    is_mask = same_size and pixels.ndim == 2 and float(np.mean(extreme)) >= _MOSTLY
    return bool(foreground(pixels).any()) if is_mask else None
