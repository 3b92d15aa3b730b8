from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from millscale.core.errors import DataError
from millscale.core.types import Boxes
from millscale.data.manifest import Manifest
from millscale.data.masks import boxes_of_mask
from millscale.data.read import read

CASES: dict[str, tuple[list[str], int, list[list[int]]]] = {
    "nothing": (["....", "...."], 1, []),
    "one pixel": (["....", "..#."], 1, [[2, 1, 3, 2]]),
    "everything": (["####", "####"], 1, [[0, 0, 4, 2]]),
    "a corner connects": (["#...", ".#..", "..#."], 1, [[0, 0, 3, 3]]),
    "two columns do not": (["#.#", "#.#"], 1, [[0, 0, 1, 2], [2, 0, 3, 2]]),
    "a U is one part": (["#.#", "###"], 1, [[0, 0, 3, 2]]),
    "the right edge does not touch the left of the next row": (["..#", "#.."], 1, [[2, 0, 3, 1], [0, 1, 1, 2]]),
    "small parts are left out": (["##.#", "##.."], 2, [[0, 0, 2, 2]]),
    "a hole with an island": (["#####", "#...#", "#.#.#", "#...#", "#####"], 1, [[0, 0, 5, 5], [2, 2, 3, 3]]),
}


@pytest.mark.parametrize("name", CASES)
def test_boxes_of_mask(name: str) -> None:
    rows, least, expected = CASES[name]
    mask = np.array([[pixel == "#" for pixel in row] for row in rows])
    assert boxes_of_mask(mask, least).tolist() == expected
    for defect, ground in ((1, 0), (60, 0), (128, 127 if mask.any() else 0)):
        assert boxes_of_mask(np.where(mask, np.uint8(defect), np.uint8(ground)), least).tolist() == expected


def test_a_mask_has_two_dimensions() -> None:
    with pytest.raises(DataError, match="found 3 dimensions"):
        boxes_of_mask(np.zeros((4, 4, 3), np.uint8))


def draw(path: Path, *parts: tuple[int, int, int, int], size: tuple[int, int] = (40, 30), ground: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full(size[::-1], ground, np.uint8)
    for left, top, right, bottom in parts:
        pixels[top:bottom, left:right] = 250
    PIL.Image.fromarray(pixels).save(path)


def corners(boxes: Boxes | None) -> list[list[float]] | None:
    return None if boxes is None else boxes.xyxy.tolist()


def codes(manifest: Manifest) -> list[tuple[str, bool]]:
    return sorted((p.code, p.blocking) for p in manifest.problems if "class" not in p.code)


def test_images_and_masks_of_equal_names(tmp_path: Path) -> None:
    for name in ("In_1", "In_2", "Pa_1"):
        draw(tmp_path / f"images/{name}.bmp", ground=90)
    draw(tmp_path / "masks/In_1.png", (2, 3, 12, 5), (20, 20, 22, 22), (30, 5, 31, 6))
    draw(tmp_path / "masks/Pa_1.png")
    draw(tmp_path / "masks/Pa_9.png")
    manifest = read(tmp_path)
    assert manifest.ids == ("images/In_1.bmp", "images/In_2.bmp", "images/Pa_1.bmp")
    assert [record.label for record in manifest.records] == ["inclusion", "inclusion", "patches"]
    assert [corners(record.boxes) for record in manifest.records] == [[[2, 3, 12, 5], [20, 20, 22, 22]], None, []]
    assert [record.mask and record.mask.name for record in manifest.records] == ["In_1.png", None, "Pa_1.png"]
    assert codes(manifest) == [("mask_specks", False), ("no_annotation", False), ("no_image", True)]


def test_names_that_tell_no_class_give_a_single_one(tmp_path: Path) -> None:
    for name in ("a", "b"):
        draw(tmp_path / f"images/{name}.jpg", ground=90)
        draw(tmp_path / f"masks/{name}_mask.png", (2, 3, 12, 5))
    assert read(tmp_path).class_counts == {"defect": 2}


def test_ground_truth_beside_test_images_and_good_ones_without(tmp_path: Path) -> None:
    for place in ("train/good/000", "test/good/000", "test/broken/000", "test/bent/000"):
        draw(tmp_path / f"bottle/{place}.png", ground=90)
    for place in ("broken", "bent"):
        draw(tmp_path / f"bottle/ground_truth/{place}/000_mask.png", (2, 3, 12, 5))
    manifest = read(tmp_path)
    found = {record.id: (record.label, record.split, corners(record.boxes)) for record in manifest.records}
    assert found == {
        "test/bent/000.png": ("bent", "test", [[2, 3, 12, 5]]),
        "test/broken/000.png": ("broken", "test", [[2, 3, 12, 5]]),
        "test/good/000.png": ("good", "test", []),
        "train/good/000.png": ("good", "train", []),
    }
    assert codes(manifest) == [("no_masks", False), ("no_masks", False)]


@pytest.mark.parametrize("damage", ["size", "bytes"])
def test_a_bad_mask_leaves_its_image_not_annotated(damage: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        draw(tmp_path / f"images/{name}.jpg", ground=90)
        draw(tmp_path / f"masks/{name}.png", (2, 3, 12, 5))
    if damage == "size":
        draw(tmp_path / "masks/b.png", (2, 3, 12, 5), size=(30, 40))
    else:
        (tmp_path / "masks/b.png").write_bytes((tmp_path / "masks/b.png").read_bytes()[:-20])
    manifest = read(tmp_path)
    assert [corners(record.boxes) for record in manifest.records] == [[[2, 3, 12, 5]], None]
    bad = next(problem for problem in manifest.problems if problem.blocking)
    assert (bad.code, Path(bad.path).name, bad.image) == ("unreadable_annotation", "b.png", "images/b.jpg")


def test_a_mask_beside_its_photograph_is_no_image(tmp_path: Path) -> None:
    for number, folder in enumerate(("MT_Crack", "MT_Crack", "MT_Free", "MT_Free")):
        draw(tmp_path / folder / f"Imgs/{number}.jpg", ground=90)
        parts = [(2, 3, 12, 5)] if folder == "MT_Crack" else []
        draw(tmp_path / folder / f"Imgs/{number}.png", *parts)
    draw(tmp_path / "MT_Free/Imgs/3.png", (0, 0, 20, 30), ground=90)
    manifest = read(tmp_path)
    assert [(r.id, r.mask and r.mask.name, r.boxes) for r in manifest.records] == [
        ("MT_Crack/Imgs/0.jpg", "0.png", None),
        ("MT_Crack/Imgs/1.jpg", "1.png", None),
        ("MT_Free/Imgs/2.jpg", "2.png", None),
        ("MT_Free/Imgs/3.jpg", None, None),
        ("MT_Free/Imgs/3.png", None, None),
    ]
    boxed = read(tmp_path, format="masks")
    assert [(record.label, corners(record.boxes)) for record in boxed.records[:3]] == [
        ("MT_Crack", [[2, 3, 12, 5]]),
        ("MT_Crack", [[2, 3, 12, 5]]),
        ("MT_Free", []),
    ]
