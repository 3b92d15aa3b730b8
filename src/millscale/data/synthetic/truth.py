"""What is known of every image of a synthetic data set: its sheet, its place there, its boxes."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

from millscale.core.errors import DataError

TRUTH_FILE = "truth.json"


@dataclass(frozen=True)
class Crop:
    """One image of the set.

    Attributes:
        id: path below the image folder, with forward slashes.
        sheet: name of the sheet that it was cut from; images of one sheet may share pixels, others never do.
        x: left edge on the sheet, pixels.
        y: upper edge on the sheet, pixels.
        boxes: left, top, right, bottom of every defect, half-open pixels of this image.
    """

    id: str
    sheet: str
    x: int
    y: int
    boxes: tuple[tuple[int, int, int, int], ...]


@dataclass(frozen=True)
class Truth:
    """All images of a synthetic data set.

    Attributes:
        size: side of every image, pixels.
        seed: what the set was made from.
        classes: class names; a class is the folder of its images.
        crops: one entry an image, in the order of their ids.
    """

    size: int
    seed: int
    classes: tuple[str, ...]
    crops: tuple[Crop, ...]


def true_overlaps(truth: Truth) -> list[tuple[str, str, float]]:
    """Every pair of images that share pixels of their sheet.

    Returns:
        ``(a, b, fraction)`` in order, ``a < b``; ``fraction`` of one image's area, in (0, 1].
    """
    sheets: dict[str, list[Crop]] = defaultdict(list)
    for crop in truth.crops:
        sheets[crop.sheet].append(crop)
    pairs = (pair for crops in sheets.values() for pair in combinations(sorted(crops, key=lambda c: c.id), 2))
    found = ((a.id, b.id, _shared(a, b, truth.size)) for a, b in pairs)
    return sorted(overlap for overlap in found if overlap[2] > 0)


def _shared(a: Crop, b: Crop, size: int) -> float:
    """The fraction of its area that one crop shares with another of the same sheet."""
    width, height = (max(0, size - abs(p - q)) for p, q in ((a.x, b.x), (a.y, b.y)))
    return width * height / size**2


def write_truth(truth: Truth, folder: Path) -> None:
    """Write ``truth.json`` into a folder."""
    (folder / TRUTH_FILE).write_text(json.dumps(asdict(truth)) + "\n", encoding="utf-8")


def read_truth(folder: Path) -> Truth:
    """Read the ``truth.json`` of a folder that ``make_dataset`` wrote.

    Raises:
        DataError: there is none, or it is not such a file.
    """
    path = folder / TRUTH_FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        crops = tuple(_read_crop(entry) for entry in found["crops"])
        return Truth(int(found["size"]), int(found["seed"]), tuple(map(str, found["classes"])), crops)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: expected the truth of a synthetic data set, found {type(error).__name__}: {error}. "
            "Make the data set again."
        ) from error


def _read_crop(entry: dict[str, object]) -> Crop:
    """One image from its JSON object."""
    boxes = tuple(_read_box(box) for box in _items(entry["boxes"]))
    return Crop(str(entry["id"]), str(entry["sheet"]), _whole(entry["x"]), _whole(entry["y"]), boxes)


def _read_box(box: object) -> tuple[int, int, int, int]:
    """Four whole numbers."""
    left, top, right, bottom = map(_whole, _items(box))
    return left, top, right, bottom


def _items(value: object) -> Sequence[object]:
    """A JSON array."""
    if not isinstance(value, list):
        raise TypeError(f"expected an array, found {value!r}")
    return value


def _whole(value: object) -> int:
    """A JSON whole number."""
    if not isinstance(value, int):
        raise TypeError(f"expected a whole number, found {value!r}")
    return value
