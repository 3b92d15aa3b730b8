"""Layouts of sets for anomaly detection: labels, masks, splits, groups, and what is wrong with them."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from millscale.data.audit import check
from millscale.data.defect_free import is_defect_free
from millscale.data.manifest import ImageRecord, Manifest
from millscale.data.masks import foreground
from millscale.data.read import read

BOX = [2.0, 3.0, 12.0, 5.0]
Found = tuple[str | None, str | None, str | None, list[list[float]] | None]

LAYOUTS: dict[str, tuple[dict[str, str], dict[str, Found]]] = {
    "mvtec": (
        {
            "nut/train/good/000.png": "photo",
            "nut/test/good/000.png": "photo",
            "nut/test/bent/000.png": "photo",
            "nut/test/flip/000.png": "photo",
            "nut/ground_truth/bent/000_mask.png": "mask",
            "nut/ground_truth/flip/000_mask.png": "mask",
        },
        {
            "test/bent/000.png": ("bent", "ground_truth/bent/000_mask.png", "test", [BOX]),
            "test/flip/000.png": ("flip", "ground_truth/flip/000_mask.png", "test", [BOX]),
            "test/good/000.png": ("good", None, "test", []),
            "train/good/000.png": ("good", None, "train", []),
        },
    ),
    "mvtec without masks": (
        {"train/good/000.png": "photo", "test/good/000.png": "photo", "test/bent/000.png": "photo"},
        {
            "test/bent/000.png": ("bent", None, "test", None),
            "test/good/000.png": ("good", None, "test", None),
            "train/good/000.png": ("good", None, "train", None),
        },
    ),
    "btad": (
        {
            "train/ok/0000.bmp": "photo",
            "test/ok/0000.bmp": "photo",
            "test/ko/0000.bmp": "photo",
            "ground_truth/ko/0000.png": "mask",
        },
        {
            "test/ko/0000.bmp": ("ko", "ground_truth/ko/0000.png", "test", [BOX]),
            "test/ok/0000.bmp": ("ok", None, "test", []),
            "train/ok/0000.bmp": ("ok", None, "train", []),
        },
    ),
    "visa": (
        {
            "candle/image_anno.csv": "text",
            "candle/Data/Images/Normal/0000.JPG": "photo",
            "candle/Data/Images/Anomaly/000.JPG": "photo",
            "candle/Data/Masks/Anomaly/000.png": "number",
        },
        {
            "Images/Anomaly/000.JPG": ("Anomaly", "Masks/Anomaly/000.png", None, [BOX]),
            "Images/Normal/0000.JPG": ("Normal", None, None, []),
        },
    ),
    "kolektor": (
        {
            "kos01/Part0.jpg": "photo",
            "kos01/Part0_label.bmp": "mask",
            "kos01/Part1.jpg": "photo",
            "kos01/Part1_label.bmp": "empty",
            "kos02/Part0.jpg": "photo",
            "kos02/Part0_label.bmp": "speck",
        },
        {
            "kos01/Part0.jpg": ("defect", "kos01/Part0_label.bmp", None, [BOX]),
            "kos01/Part1.jpg": ("good", "kos01/Part1_label.bmp", None, []),
            "kos02/Part0.jpg": ("defect", "kos02/Part0_label.bmp", None, []),
        },
    ),
    "kolektor 2": (
        {
            "train/10000.png": "photo",
            "train/10000_GT.png": "empty",
            "test/10000.png": "photo",
            "test/10000_GT.png": "mask",
        },
        {
            "test/10000.png": ("defect", "test/10000_GT.png", "test", [BOX]),
            "train/10000.png": ("good", "train/10000_GT.png", "train", []),
        },
    ),
    "masks beside the images of class folders": (
        {"bent/1.png": "photo", "bent/1_mask.png": "mask", "good/1.png": "photo", "good/1_mask.png": "empty"},
        {
            "bent/1.png": ("bent", "bent/1_mask.png", None, [BOX]),
            "good/1.png": ("good", "good/1_mask.png", None, []),
        },
    ),
    "magnetic tile": (
        {
            "MT_Break/Imgs/exp1_num_7.jpg": "photo",
            "MT_Break/Imgs/exp1_num_7.png": "mask",
            "MT_Free/Imgs/exp1_num_8.jpg": "photo",
            "MT_Free/Imgs/exp1_num_8.png": "empty",
        },
        {
            "MT_Break/Imgs/exp1_num_7.jpg": ("MT_Break", "MT_Break/Imgs/exp1_num_7.png", None, None),
            "MT_Free/Imgs/exp1_num_8.jpg": ("MT_Free", "MT_Free/Imgs/exp1_num_8.png", None, None),
        },
    ),
    "a mask of the same name beside each image, whatever the endings": (
        {
            "bent/1.bmp": "photo",
            "bent/1.png": "mask",
            "bent/2.png": "photo",
            "bent/2.bmp": "mask",
            "good/3.tif": "photo",
            "good/3.png": "empty",
            "good/4.png": "photo",
            "good/4.bmp": "photo",
        },
        {
            "bent/1.bmp": ("bent", "bent/1.png", None, None),
            "bent/2.png": ("bent", "bent/2.bmp", None, None),
            "good/3.tif": ("good", "good/3.png", None, None),
            "good/4.bmp": ("good", None, None, None),
            "good/4.png": ("good", None, None, None),
        },
    ),
    "a plain folder": (
        {"a.png": "photo", "b.png": "photo"},
        dict.fromkeys(("a.png", "b.png"), (None, None, None, None)),
    ),
}
DEFECT_FREE = {"good", "ok", "Normal", "MT_Free"}


def lay_out(root: Path, files: dict[str, str], size: tuple[int, int] = (40, 30)) -> Path:
    for name, kind in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full(size[::-1], 90 if kind == "photo" else 0, np.uint8)
        if kind in ("mask", "number"):
            pixels[3:5, 2:12] = 255 if kind == "mask" else 3
        elif kind == "speck":
            pixels[7, 7] = 255
        if kind == "text":
            (root / name).write_text("image,label\n")
        else:
            PIL.Image.fromarray(pixels).save(root / name)
    return root


def codes(manifest: Manifest) -> list[tuple[str, str]]:
    return sorted((p.code, Path(p.path).name) for p in manifest.problems if not p.code.endswith("_class"))


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout(name: str, tmp_path: Path) -> None:
    files, expected = LAYOUTS[name]
    manifest = read(lay_out(tmp_path, files))
    root = Path(str(manifest.records[0].path).removesuffix(manifest.ids[0]))
    found = {
        r.id: (
            r.label,
            r.mask and r.mask.relative_to(root).as_posix(),
            r.split,
            None if r.boxes is None else r.boxes.xyxy.tolist(),
        )
        for r in manifest.records
    }
    assert found == expected
    assert {r.id: is_defect_free(r) for r in manifest.records} == {
        image: None if label is None else label in DEFECT_FREE for image, (label, *_) in expected.items()
    }
    assert not any(problem.blocking for problem in manifest.problems)


def test_the_part_of_kolektor_is_the_group_and_the_audit_keeps_it(tmp_path: Path) -> None:
    manifest = read(lay_out(tmp_path, LAYOUTS["kolektor"][0]))
    assert [record.group for record in manifest.records] == ["kos01", "kos01", "kos02"]
    rng = np.random.default_rng(0)
    for record in manifest.records:
        PIL.Image.fromarray(rng.integers(0, 255, (90, 90), np.uint8)).save(record.path)
    assert list(check(manifest).groups.values()) == ["kos01/Part0.jpg", "kos01/Part0.jpg", "kos02/Part0.jpg"]


MVTEC = LAYOUTS["mvtec"][0]
PROBLEMS: dict[str, tuple[dict[str, str], Iterable[str], list[tuple[str, str]]]] = {
    "image without mask": (MVTEC, ["nut/ground_truth/bent/000_mask.png"], [("no_annotation", "000.png")]),
    "mask without image": (MVTEC, ["nut/test/bent/000.png"], [("no_image", "000_mask.png")]),
    "empty mask of a defect": (
        {**MVTEC, "nut/ground_truth/bent/000_mask.png": "empty"},
        [],
        [("label_and_mask", "000_mask.png")],
    ),
    "defect among the good": (
        {**MVTEC, "nut/test/good/009.png": "photo", "nut/ground_truth/good/009_mask.png": "mask"},
        [],
        [("label_and_mask", "009_mask.png")],
    ),
    "empty mask of a tile": (
        {**LAYOUTS["magnetic tile"][0], "MT_Break/Imgs/exp1_num_7.png": "empty"},
        [],
        [("label_and_mask", "exp1_num_7.png")],
    ),
    "kolektor image without mask": (
        LAYOUTS["kolektor"][0],
        ["kos01/Part1_label.bmp"],
        [("mask_specks", "Part0_label.bmp"), ("no_annotation", "Part1.jpg")],
    ),
    "empty mask where no class is claimed": (
        {"images/a.jpg": "photo", "images/b.jpg": "photo", "masks/a.png": "mask", "masks/b.png": "empty"},
        [],
        [],
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_problems(name: str, tmp_path: Path) -> None:
    files, missing, expected = PROBLEMS[name]
    manifest = read(lay_out(tmp_path, {path: kind for path, kind in files.items() if path not in missing}))
    assert [problem for problem in codes(manifest) if problem[0] != "no_masks"] == expected


def test_a_mask_of_another_size_leaves_the_image_without_mask_and_label(tmp_path: Path) -> None:
    lay_out(tmp_path, LAYOUTS["kolektor 2"][0])
    lay_out(tmp_path, {"test/10000_GT.png": "mask"}, size=(30, 40))
    manifest = read(tmp_path)
    assert codes(manifest) == [("unreadable_annotation", "10000_GT.png")]
    assert [(r.label, r.mask is None, is_defect_free(r)) for r in manifest.records] == [
        (None, True, None),
        ("good", False, True),
    ]


def test_an_image_without_label_is_judged_by_its_mask(tmp_path: Path) -> None:
    lay_out(tmp_path, {"a.png": "mask", "b.png": "empty", "c.png": "number"})
    judged = [is_defect_free(ImageRecord(n, tmp_path / n, mask=tmp_path / f"{n}.png")) for n in "abc"]
    assert judged == [False, True, False]


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6))))
def test_foreground(mask: np.ndarray) -> None:
    least = 128 if mask.max() > 127 else 1
    assert (foreground(mask) == np.array([[pixel >= least for pixel in row] for row in mask])).all()
    assert (foreground(np.stack([mask, mask // 3, mask // 2], 2)) == foreground(mask)).all()
