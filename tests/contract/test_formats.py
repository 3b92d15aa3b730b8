"""What every data format must do; a new one is found by its file."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import millscale as ms
from millscale.core import plugins
from millscale.core.errors import DataError
from millscale.data.manifest import Manifest
from millscale.data.read import FORMATS
from millscale.data.scan import scan

NAMES = plugins.names(FORMATS)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in (
        "train/images/crazing/crazing_1.bmp",
        "train/images/crazing/crazing_2.bmp",
        "Cr_1.bmp",
        "b/x.png",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)
    return tmp_path


def test_the_formats_of_the_documentation_are_there() -> None:
    assert {"class_folders", "flat_prefix", "images", "pascal_voc", "split_folders"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_describes_itself_in_one_line(name: str) -> None:
    module = plugins.load(FORMATS, name)
    assert module.DESCRIPTION
    assert "\n" not in module.DESCRIPTION
    assert isinstance(module.PRIORITY, int)


def test_priorities_are_distinct() -> None:
    assert len({plugins.load(FORMATS, name).PRIORITY for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_does_not_match_a_folder_without_images(name: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("text")
    (tmp_path / "empty").mkdir()
    assert plugins.load(FORMATS, name).matches(scan(tmp_path)) is False


@pytest.mark.parametrize("name", NAMES)
def test_refuses_what_is_no_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a folder"):
        ms.read(tmp_path / "absent", format=name)


@pytest.mark.parametrize("name", NAMES)
def test_reads_any_folder_of_images_and_accounts_for_each(name: str, images: Path) -> None:
    manifest = ms.read(images, format=name)
    assert isinstance(manifest, Manifest)
    assert list(manifest.ids) == sorted(set(manifest.ids))
    assert all((images / record.id) == record.path for record in manifest.records)
    assert all(record.label is None or record.label in manifest.classes for record in manifest.records)
    assert all(record.split in (None, "train", "val", "test") for record in manifest.records)
    left_out = {Path(problem.path) for problem in manifest.problems if problem.blocking}
    assert {record.path for record in manifest.records} | left_out == {
        path for path in images.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("name", NAMES)
def test_reads_the_same_twice(name: str, images: Path) -> None:
    first, second = ms.read(images, format=name), ms.read(images, format=name)
    assert first.fingerprint == second.fingerprint
    assert first.problems == second.problems


def test_listing_imports_no_format() -> None:
    code = f"import sys; from millscale.core import plugins; plugins.names({FORMATS!r}); print('PIL' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
