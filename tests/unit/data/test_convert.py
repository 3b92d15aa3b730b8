from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from millscale.core.errors import DataError
from millscale.data.convert import to_class_folders, whole_folder
from millscale.data.read import read


def draw(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.full((4, 4), value, np.uint8)).save(path)


def test_splits_are_merged_into_class_folders(tmp_path: Path) -> None:
    for i, name in enumerate(["train/Cr/Cr_1.bmp", "train/Sc/Sc_1.bmp", "test/Cr/Cr_2.bmp", "test/Sc/Sc_2.bmp"]):
        draw(tmp_path / "in" / name, i)
    (tmp_path / "in/train/Pa").mkdir()
    before = read(tmp_path / "in")
    after = to_class_folders(before, tmp_path / "out")
    assert after.ids == ("crazing/Cr_1.bmp", "crazing/Cr_2.bmp", "scratches/Sc_1.bmp", "scratches/Sc_2.bmp")
    assert after.class_counts == {"crazing": 2, "patches": 0, "scratches": 2}
    assert {r.content_hash for r in after.records} == {r.content_hash for r in before.records}


def test_equal_names_in_one_class_are_refused(tmp_path: Path) -> None:
    for i, split in enumerate(["train", "test"]):
        draw(tmp_path / "in" / split / "a/1.bmp", i)
    with pytest.raises(DataError, match="found two"):
        to_class_folders(read(tmp_path / "in"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def fill_half(target: Path) -> None:
    with whole_folder(target) as folder:
        (folder / "half").write_text("text")
        raise KeyError


def test_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "deep/target"
    with pytest.raises(KeyError):
        fill_half(target)
    assert list(tmp_path.rglob("*")) == [tmp_path / "deep"]
    (tmp_path / "deep/.target.partial").mkdir()
    (tmp_path / "deep/.target.partial/left behind").write_text("text")
    with whole_folder(target) as folder:
        (folder / "whole").write_text("text")
        assert not target.exists()
    assert [path.name for path in target.iterdir()] == ["whole"]
    assert not folder.exists()


def test_folder_with_content_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("text")
    with pytest.raises(DataError, match="new or empty folder"), whole_folder(tmp_path):
        pass
    assert (tmp_path / "mine").read_text() == "text"
