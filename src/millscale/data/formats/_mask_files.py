"""Masks among the images of a folder, told by their place or by their pixels, and what they show."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import DataError
from millscale.core.types import Problem
from millscale.data.classes import is_good
from millscale.data.formats._drawn import AnnotationError
from millscale.data.formats._pairing import MASK_FOLDERS, lies_in, pair
from millscale.data.formats._scan import Scan
from millscale.data.manifest import Manifest
from millscale.data.masks import foreground
from millscale.imaging.decode import read_image, read_size

_SUFFIXES = ("_mask", "_gt", "-mask", "_label")
_EXTREME, _MOSTLY = 16, 0.95
"""A mask's values lie this near to black or white, but for this share of its pixels: its edges may be soft."""


def masks_in_folders(content: Scan) -> dict[PurePosixPath, PurePosixPath]:
    """Image → mask, where masks lie in a folder called so and bear the image's name, with or without ``_mask``."""
    masks = [path for path in content.images if lies_in(path, MASK_FOLDERS)]
    pictures = [path for path in content.images if not lies_in(path, MASK_FOLDERS)]
    return pair(pictures, masks, _stem) if masks else {}


def masks_beside(content: Scan) -> dict[PurePosixPath, PurePosixPath]:
    """Image → mask, where a PNG of black and white lies beside a JPEG of the same name, as in the magnetic tiles."""
    pngs = {path.with_suffix(""): path for path in content.images if path.suffix.lower() == ".png"}
    photographs = [path for path in content.images if path.suffix.lower() in (".jpg", ".jpeg")]
    both = [(path, pngs[path.with_suffix("")]) for path in photographs if path.with_suffix("") in pngs]
    return {image: mask for image, mask in both if _is_mask(content.root / mask, content.root / image)}


def masks_named(content: Scan) -> dict[PurePosixPath, PurePosixPath]:
    """Image → mask, where the mask lies beside its image and bears its name with ``_label``, ``_GT`` or ``_mask``."""
    images = {path.with_suffix(""): path for path in content.images}
    owners = {path: images.get(path.with_name(_stem(path))) for path in content.images}
    return {image: mask for mask, image in owners.items() if image is not None and _stem(mask) != mask.stem}


def without(content: Scan, masks: Mapping[PurePosixPath, PurePosixPath]) -> Scan:
    """The same content, the masks no longer among its images."""
    known = set(masks.values())
    return replace(content, images=tuple(path for path in content.images if path not in known))


def with_masks(manifest: Manifest, content: Scan, masks: Mapping[PurePosixPath, PurePosixPath]) -> Manifest:
    """The same manifest, each record with its mask; told where the mask of a defective image shows nothing."""
    files = {str(image): content.root / mask for image, mask in masks.items()}
    records = tuple(replace(r, mask=files.get(r.id, r.mask)) for r in manifest.records)
    shown = [(r.label, r.mask, r.id, foreground(read_image(r.mask)).any()) for r in records if r.label and r.mask]
    told = (contradiction(label, mask, image, shows=bool(shows)) for label, mask, image, shows in shown)
    return replace(manifest, records=records, problems=(*manifest.problems, *filter(None, told)))


def contradiction(label: str, mask: Path, image: str, *, shows: bool) -> Problem | None:
    """The problem of an image of this class whose mask shows a defect, or none, against its class."""
    if is_good(label) != shows:
        return None
    says = "shows a defect" if shows else "shows nothing"
    fix = "Correct the mask, or move the image to the class that it shows."
    return Problem("label_and_mask", str(mask), f"class '{label}', but its mask {says}", fix, image=image)


def read_mask(path: Path, size: tuple[int, int]) -> NDArray[np.bool_]:
    """``(H, W)`` bool, the foreground of a mask file.

    Args:
        size: (width, height) that it must have, its image's.

    Raises:
        AnnotationError: it cannot be decoded, or has another size.
    """
    expected = f"a mask of {size[0]} x {size[1]} pixels like its image"
    try:
        pixels = read_image(path)
    except DataError as error:
        raise AnnotationError(str(path), expected, error) from error
    if pixels.shape[1::-1] != size:
        raise AnnotationError(str(path), expected, f"{pixels.shape[1]} x {pixels.shape[0]}")
    return foreground(pixels)


def _stem(path: PurePosixPath) -> str:
    stem = path.stem
    ending = next((suffix for suffix in _SUFFIXES if stem.lower().endswith(suffix)), "")
    return stem[: len(stem) - len(ending)]


def _is_mask(path: Path, image: Path) -> bool:
    """Is it grey, almost only black and white, and of its image's size?"""
    try:
        pixels = read_image(path)
        same_size = read_size(image) == pixels.shape[1::-1]
    except DataError:
        return False
    extreme = (pixels <= _EXTREME) | (pixels >= 255 - _EXTREME)
    return same_size and pixels.ndim == 2 and float(np.mean(extreme)) >= _MOSTLY
