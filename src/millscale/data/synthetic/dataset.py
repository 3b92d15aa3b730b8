"""A synthetic data set on disk: class folders of images, masks and the truth about overlaps.

- ``OUT/images/CLASS/CLASS_00001.bmp``: what a reader of class folders is pointed to;
- ``OUT/masks/CLASS/CLASS_00001.png``: 0 and 255, none for defect-free strip;
- ``OUT/truth.json``: sheet, place and boxes of every image.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from millscale.core.errors import UsageError
from millscale.core.types import Boxes
from millscale.data.manifest import ImageRecord, Manifest
from millscale.data.synthetic.sheet import (
    CLASSES,
    GOOD,
    KINDS,
    LEAST_SIDE,
    Sheet,
    check_kind,
    render_sheet,
)
from millscale.data.synthetic.truth import Crop, Truth, write_truth

IMAGES, MASKS = "images", "masks"
_LEAST_COVER = 0.004
"""An image shows its defect when at least this fraction of its pixels belongs to it."""
_TRIES = 12

ImageFormat = Literal["bmp", "png", "jpg"]
Progress = Callable[[int, int], None]
"""Called with the images done and the images in all."""


@dataclass(frozen=True, eq=False)
class Cut:
    """A crop with its place: the sheet's name, left and upper edge in pixels."""

    sheet: str
    x: int
    y: int
    picture: Sheet


def make_dataset(
    out: Path | str,
    *,
    per_class: int = 60,
    size: int = 200,
    crops_per_sheet: tuple[int, int] = (1, 4),
    seed: int = 0,
    kinds: Sequence[str] = CLASSES,
    image_format: ImageFormat = "bmp",
    progress: Progress | None = None,
) -> Manifest:
    """Write a data set of synthetic strip whose overlaps are known.

    Every sheet is cut into overlapping crops, which share its pixels exactly. An image depends on its kind
    and number and on the seed, size and crops a sheet, not on how many are asked for. The truth is written
    last; the same call over an unfinished data set completes it.

    Args:
        out: folder to write into; made where missing.
        per_class: images of each kind.
        size: side of an image, pixels.
        crops_per_sheet: fewest and most images of one sheet.
        seed: whole number, 0 or more.
        kinds: which of ``KINDS``; each becomes a class folder.
        image_format: of the images, whose overlaps JPEG blurs; masks are PNG.
        progress: told after each image.

    Returns:
        The manifest of ``out/images``, with boxes, masks and the sheet of each image as its group.

    Raises:
        UsageError: a count, the size or a kind cannot be used; ``out/images`` holds other files.
    """
    out = Path(out)
    _check_request(per_class, size, crops_per_sheet, seed, kinds)
    classes = tuple(sorted(kinds))
    names = [(kind, _name(kind, number, image_format)) for kind in classes for number in range(1, per_class + 1)]
    _check_folder(out / IMAGES, {name for _, name in names})
    streams = {kind: iter_cuts(kind, size=size, crops_per_sheet=crops_per_sheet, seed=seed) for kind in classes}
    records: list[ImageRecord] = []
    crops: list[Crop] = []
    for kind, name in names:
        cut = next(streams[kind])
        records.append(_write_cut(out, cut, name, classes))
        crops.append(_crop_of(name, cut))
        if progress is not None:
            progress(len(records), len(names))
    write_truth(Truth(size, seed, classes, tuple(crops)), out)
    return Manifest(tuple(records), classes, str(out / IMAGES))


def iter_cuts(kind: str, *, size: int = 200, crops_per_sheet: tuple[int, int] = (1, 4), seed: int = 0) -> Iterator[Cut]:
    """Crops of one kind without end, sheet after sheet; the pictures that ``make_dataset`` writes."""
    check_kind(kind)
    for number in count(1):
        key = (seed, number)
        rng = np.random.default_rng((*key, KINDS.index(kind)))
        wanted = int(rng.integers(crops_per_sheet[0], crops_per_sheet[1] + 1))
        sheet = render_sheet(kind, _sheet_shape(rng, size, wanted), key)
        for x, y in _places(rng, sheet, size, wanted):
            yield Cut(f"{kind}-{number:05d}", x, y, sheet.crop(x, y, size))


def _sheet_shape(rng: np.random.Generator, size: int, crops: int) -> tuple[int, int]:
    """Height and width of a sheet on which so many crops overlap, but not all of them, and not wholly."""
    if crops == 1:
        return size, size
    growth = rng.uniform(0.2, 0.9, 2) * (crops - 1) ** 0.5
    height, width = (int(size * (1 + g)) // 8 * 8 for g in growth)
    return max(height, size), max(width, size)


def _places(rng: np.random.Generator, sheet: Sheet, size: int, crops: int) -> list[tuple[int, int]]:
    """Distinct places of crops on a sheet, each showing the defect wherever a few tries find one."""
    height, width = sheet.image.shape
    places: list[tuple[int, int]] = []
    for _ in range(crops):
        tries = rng.integers((width - size + 1, height - size + 1), size=(_TRIES, 2)).tolist()
        fresh = [(x, y) for x, y in tries if (x, y) not in places]
        covers = [float(sheet.mask[y : y + size, x : x + size].mean()) for x, y in fresh]
        shown = [place for place, cover in zip(fresh, covers, strict=True) if cover >= _LEAST_COVER]
        if fresh:
            places.append(shown[0] if shown else fresh[int(np.argmax(covers))])
    return places


def _name(kind: str, number: int, image_format: ImageFormat) -> str:
    """The id of an image: its path below the image folder."""
    return f"{kind}/{kind}_{number:05d}.{image_format}"


def _write_cut(out: Path, cut: Cut, name: str, classes: tuple[str, ...]) -> ImageRecord:
    """Write one image and its mask; return its record."""
    kind, boxes = cut.picture.kind, cut.picture.boxes
    path = _save(cut.picture.image, out / IMAGES / name)
    if kind == GOOD:
        return ImageRecord(name, path, kind, group=cut.sheet)
    mask = np.where(cut.picture.mask, np.uint8(255), np.uint8(0))
    mask_path = _save(mask, (out / MASKS / name).with_suffix(".png"))
    numbered = Boxes(boxes.xyxy, np.full(len(boxes), classes.index(kind)))
    return ImageRecord(name, path, kind, numbered, mask_path, cut.sheet)


def _save(pixels: NDArray[np.uint8], path: Path) -> Path:
    """Write a grey image; PNGs quickly rather than small, JPEG well but not without loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.fromarray(pixels).save(path, compress_level=1, quality=90)
    return path


def _crop_of(image_id: str, cut: Cut) -> Crop:
    """What the truth file says of an image."""
    boxes = tuple((int(a), int(b), int(c), int(d)) for a, b, c, d in cut.picture.boxes.xyxy)
    return Crop(image_id, cut.sheet, cut.x, cut.y, boxes)


def _check_request(
    per_class: int, size: int, crops_per_sheet: tuple[int, int], seed: int, kinds: Sequence[str]
) -> None:
    """Refuse what cannot be made."""
    _expect("per_class", per_class >= 1, "1 or more", per_class)
    _expect("size", size >= LEAST_SIDE, f"{LEAST_SIDE} pixels or more", size)
    _expect("crops_per_sheet", 1 <= crops_per_sheet[0] <= crops_per_sheet[1], "1 ≤ fewest ≤ most", crops_per_sheet)
    _expect("seed", seed >= 0, "0 or more", seed)
    distinct = len(set(kinds)) == len(kinds) > 0
    _expect(
        "kinds",
        distinct and set(kinds) <= set(KINDS),
        f"distinct names among {', '.join(KINDS)}",
        list(kinds),
    )


def _check_folder(images: Path, names: set[str]) -> None:
    """Refuse a folder with files that this data set would not overwrite: its truth would not name them."""
    found = {path.relative_to(images).as_posix() for path in images.rglob("*") if path.is_file()}
    foreign = sorted(found - names)
    if foreign:
        raise UsageError(
            f"{images}: expected no images but this data set's own, found {len(foreign)} others "
            f"('{foreign[0]}' first). Give a new folder, or empty this one."
        )


def _expect(name: str, holds: bool, expected: str, found: object) -> None:  # noqa: FBT001
    """Refuse one argument."""
    if not holds:
        raise UsageError(f"Synthetic data set, {name}: expected {expected}, found {found}. Change {name}.")
