"""Photographs of one surface taken anew, made by warping: found; other surfaces and lines that fit anywhere: not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from millscale.data.audit import check
from millscale.data.audit.keypoints import band_pass
from millscale.data.audit.moved import is_same_surface
from millscale.data.manifest import ImageRecord, Manifest

SIDE = 260
Field = np.ndarray


def texture(seed: int) -> Field:
    """Grain of 2 to 8 pixels on slow clouds, in grey levels."""
    rng = np.random.default_rng(seed)
    total = np.full((SIDE, SIDE), 128.0)
    for cells, weight in ((130, 14), (60, 10), (6, 20)):
        coarse = PIL.Image.fromarray(rng.standard_normal((cells, cells)).astype(np.float32))
        total += weight * np.asarray(coarse.resize((SIDE, SIDE), PIL.Image.Resampling.BICUBIC))
    return np.clip(total, 1, 254).astype(np.float32)


def warped(picture: Field, *, degrees: float = 0.0, scale: float = 1.0) -> Field:
    turned = PIL.Image.fromarray(picture).rotate(degrees, PIL.Image.Resampling.BICUBIC, fillcolor=128)
    side = round(SIDE * scale)
    larger = np.asarray(turned.resize((side, side), PIL.Image.Resampling.BICUBIC))
    cut = (side - SIDE) // 2
    return larger[cut : cut + SIDE, cut : cut + SIDE]


def lit(picture: Field) -> Field:
    """Under another lamp: half as bright, and darker to one side."""
    return np.clip(picture * np.linspace(0.4, 0.7, picture.shape[1]), 0, 255).astype(np.float32)


def scrambled(picture: Field) -> Field:
    """Each part of 40 pixels moved by itself: all are found again, but no one map takes them there."""
    rng = np.random.default_rng(0)
    result = picture.copy()
    for y in range(4, SIDE - 44, 40):
        for x in range(4, SIDE - 44, 40):
            dy, dx = rng.integers(-4, 5, 2)
            result[y : y + 40, x : x + 40] = picture[y + dy : y + dy + 40, x + dx : x + dx + 40]
    return result


def scratch(seed: int) -> Field:
    """One bright upright line on noise of its own."""
    rng = np.random.default_rng(seed)
    picture = rng.normal(90, 2, (SIDE, SIDE))
    picture[:, SIDE // 2 - 2 : SIDE // 2 + 2] += 90
    return picture.astype(np.float32)


CASES: dict[str, tuple[bool, Callable[[], tuple[Field, Field]]]] = {
    "turned": (True, lambda: (texture(1), lit(warped(texture(1), degrees=0.8)))),
    "nearer": (True, lambda: (texture(2), lit(warped(texture(2), scale=1.02)))),
    "both": (True, lambda: (texture(3), lit(warped(texture(3), degrees=-0.5, scale=1.015)))),
    "another surface": (False, lambda: (texture(4), texture(5))),
    "turned by far too much": (False, lambda: (texture(6), warped(texture(6), degrees=20))),
    "parts in other places": (False, lambda: (texture(7), scrambled(texture(7)))),
    "two scratches": (False, lambda: (scratch(8), scratch(9))),
    "nothing": (False, lambda: (np.full((SIDE, SIDE), 9, np.float32),) * 2),
    "too small": (False, lambda: (texture(10)[:60, :60], texture(10)[:60, :60])),
}


@pytest.mark.parametrize("name", CASES)
def test_only_what_one_map_moves_is_the_same_surface(name: str) -> None:
    expected, make = CASES[name]
    x, y = (band_pass(picture) for picture in make())
    assert is_same_surface(x, y) is expected
    assert is_same_surface(y, x) is expected


def test_the_audit_groups_photographs_taken_anew(tmp_path: Path) -> None:
    pictures = {
        "a": texture(1),
        "b": lit(warped(texture(1), degrees=0.8)),
        "c": warped(texture(1), degrees=-0.6, scale=1.01),
        "d": texture(2),
    }
    for name, picture in pictures.items():
        PIL.Image.fromarray(picture.astype(np.uint8)).save(tmp_path / f"{name}.jpg", quality=90)
    records = tuple(ImageRecord(name, tmp_path / f"{name}.jpg", "steel") for name in pictures)
    audit = check(Manifest(records, ("steel",), str(tmp_path)))
    assert audit.groups == {"a": "a", "b": "a", "c": "a", "d": "d"}
    assert {(o.a, o.b) for o in audit.second_exposures} >= {("a", "b"), ("a", "c")}
    assert not audit.overlaps
