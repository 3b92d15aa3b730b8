import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from millscale.data.classes import NEU_CLASSES
from millscale.data.defect_free import is_defect_free
from millscale.data.leaks import read_parts
from millscale.data.read import read
from millscale.data.split import named_split
from millscale.imaging.decode import read_image

DATA = os.environ.get("MILLSCALE_DATA")
pytestmark = pytest.mark.skipif(
    not DATA, reason="needs the environment variable MILLSCALE_DATA: the folder of the data sets"
)
SIX_TIMES_300 = dict.fromkeys(NEU_CLASSES, 300)


def test_neu_cls() -> None:
    manifest = read(Path(DATA or "") / "neu-cls")
    assert manifest.class_counts == SIX_TIMES_300
    assert Counter(record.split for record in manifest.records) == {"train": 1656, "val": 72, "test": 72}
    assert {read_image(record.path).shape for record in manifest.records} == {(200, 200)}


def test_neu_det() -> None:
    manifest = read(Path(DATA or "") / "neu-det")
    boxes = [record.boxes for record in manifest.records if record.boxes]
    assert manifest.class_counts == SIX_TIMES_300
    assert (
        sum(len(b) for b in boxes),
        sum(int(b.difficult.sum()) for b in boxes if b.difficult is not None),
    ) == (4189, 81)
    codes = Counter(problem.code for problem in manifest.problems)
    assert (codes["box_class"], codes["box_twice"], codes["filename_suffix"]) == (123, 3, 174)
    assert not any(problem.blocking for problem in manifest.problems)


def test_the_kaggle_division_of_neu_det_leaks() -> None:
    manifest = read(Path(DATA or "") / "neu-det")
    lists = {part: Path(manifest.source) / f"splits/kaggle1440-360_{part}.txt" for part in ("train", "val")}
    parts = read_parts(lists, manifest)
    assert isinstance(parts, Mapping)
    split = named_split(manifest, parts, dict.fromkeys(manifest.ids, "one"))
    assert (len(split.train), len(split.val), split.leaks, split.problems) == (1440, 360, 360, ())


def test_saliency_masks_beside_their_images(tmp_path: Path) -> None:
    """`masks` holds In_1.png …, whose photographs are those of neu-cls."""
    bitmaps = {record.path.stem: record.path for record in read(Path(DATA or "") / "neu-cls").records}
    masks = sorted((Path(DATA or "") / "sd-saliency-900/masks").glob("*_10*.png"))
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for mask in masks:
        (tmp_path / "masks" / mask.name).symlink_to(mask)
        (tmp_path / "images" / bitmaps[mask.stem].name).symlink_to(bitmaps[mask.stem])
    manifest = read(tmp_path)
    assert len(manifest) == len(masks) > 30
    assert set(manifest.classes) == {"inclusion", "patches", "scratches"}
    assert all(record.mask is not None and record.boxes for record in manifest.records)


def test_magnetic_tile_masks_are_no_images() -> None:
    manifest = read(Path(DATA or "") / "magnetic-tile")
    assert manifest.class_counts["MT_Free"] == 952
    assert len(manifest) == 1344
    assert all(record.mask is not None for record in manifest.records)
    assert sum(is_defect_free(record) or False for record in manifest.records) == 952
    empty = sorted(problem.image or "" for problem in manifest.problems if problem.code == "label_and_mask")
    assert len(empty) == 4
    assert all(name.startswith("MT_Uneven/") for name in empty)


def test_x_sdd() -> None:
    manifest = read(Path(DATA or "") / "x-sdd")
    assert len(manifest) == 1360
    assert manifest.class_counts["oxide scale of plate system"] == 63
    assert len(manifest.classes) == 7
