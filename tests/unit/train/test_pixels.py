import shutil

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

pytest.importorskip("torch")

from millscale.core.errors import DataError
from millscale.data.manifest import ImageRecord, Manifest
from millscale.imaging.preprocess import Preprocess
from millscale.train.pixels import batch_preprocess, grey_or_coloured, prepared_pixels


@pytest.fixture
def saved(tmp_path):
    """Writes grey images of the given (height, width) and lists them."""

    def make(*sizes: tuple[int, int]) -> Manifest:
        records = []
        for k, size in enumerate(sizes):
            path = tmp_path / f"{k}.png"
            Image.fromarray(np.random.default_rng(k).integers(0, 256, size).astype(np.uint8)).save(path)
            records.append(ImageRecord(path.name, path, "a"))
        return Manifest(tuple(records), ("a",), str(tmp_path))

    return make


@pytest.mark.parametrize(
    ("sizes", "size", "expected"),
    [
        ([(40, 40), (80, 80)], 64, Preprocess("resize", (64, 64))),
        ([(40, 80), (20, 40)], 64, Preprocess("resize", (32, 64))),
        ([(90, 30)], 64, Preprocess("resize", (64, 21))),
        ([(40, 40), (40, 80)], 64, Preprocess("letterbox", (64, 64))),
        ([(40, 40), (80, 80)], 0, Preprocess("resize", (80, 80))),
        ([(300, 600)], 0, Preprocess("resize", (112, 224))),
        ([(40, 40), (300, 80)], 0, Preprocess("letterbox", (224, 224))),
    ],
)
def test_images_of_equal_proportions_are_scaled_and_others_letterboxed(saved, sizes, size, expected):
    assert batch_preprocess(saved(*sizes), size) == expected


def test_pixels_are_those_of_the_preprocessing_and_are_decoded_once(saved, tmp_path):
    manifest, preprocess, calls = saved((40, 40), (80, 80)), Preprocess("resize", (32, 32)), []
    pixels = prepared_pixels(manifest, preprocess, tmp_path / "kept", lambda *what: calls.append(what))
    expected = [preprocess.apply(np.array(Image.open(r.path)))[0] for r in manifest.records]
    assert_array_equal(pixels, np.stack(expected))
    assert calls == [("images", 2, 2)]
    again = prepared_pixels(manifest, preprocess, tmp_path / "kept", lambda *what: calls.append(what))
    assert_array_equal(again, pixels)
    assert len(calls) == 1


def test_an_interrupted_preparation_is_not_taken_for_a_whole_one(saved, tmp_path):
    manifest, preprocess = saved((40, 40), (80, 80)), Preprocess("resize", (32, 32))
    whole = manifest.records[1].path.read_bytes()
    assert manifest.fingerprint
    manifest.records[1].path.write_bytes(whole[:50])
    with pytest.raises(DataError):
        prepared_pixels(manifest, preprocess, tmp_path / "kept", lambda *_: None)
    manifest.records[1].path.write_bytes(whole)
    pixels = prepared_pixels(manifest, preprocess, tmp_path / "kept", lambda *_: None)
    assert_array_equal(pixels[1], preprocess.apply(np.array(Image.open(manifest.records[1].path)))[0])


@pytest.mark.parametrize("left", [40, 1000])
def test_a_file_that_lost_its_end_is_written_anew(saved, tmp_path, left):
    manifest, preprocess = saved((40, 40), (40, 40)), Preprocess("resize", (32, 32))
    whole = np.array(prepared_pixels(manifest, preprocess, tmp_path / "kept", lambda *_: None))
    (file,) = (tmp_path / "kept").iterdir()
    file.write_bytes(file.read_bytes()[:left])
    assert_array_equal(prepared_pixels(manifest, preprocess, tmp_path / "kept", lambda *_: None), whole)


def test_windows_stand_one_after_the_other_at_the_networks_size(saved, tmp_path):
    """Of 40 x 150 pixels three windows of 64, grey below the picture; of 64 x 64 one."""
    manifest, preprocess = saved((40, 150), (64, 64)), Preprocess("resize", (32, 32))
    pixels = prepared_pixels(manifest, preprocess, tmp_path, lambda *_: None, tile=64)
    wide, square = (np.array(Image.open(record.path).convert("RGB")) for record in manifest.records)
    expected = []
    for left in (0, 43, 86):
        frame = np.full((64, 64, 3), 114, np.uint8)
        frame[:40] = wide[:, left : left + 64]
        expected.append(preprocess.apply(frame)[0])
    assert_array_equal(pixels, np.stack([*expected, preprocess.apply(square)[0]]))
    assert len(prepared_pixels(manifest, preprocess, tmp_path, lambda *_: None)) == 2  # whole ones are others


def test_a_full_disk_is_told_before_anything_is_written(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9000, 4000, 5000))
    with pytest.raises(DataError, match=r"expected 0\.0 GB of free space for 2 pictures .* --out"):
        prepared_pixels(saved((40, 40), (80, 80)), Preprocess("resize", (32, 32)), tmp_path / "kept", lambda *_: None)
    assert not list((tmp_path / "kept").iterdir())


def test_one_colour_of_grey_images_is_enough_and_one_coloured_pixel_keeps_all():
    grey = np.repeat(np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), np.uint8), 3, 3)
    assert_array_equal(grey_or_coloured(grey), grey[..., :1])
    grey[2, 7, 7, 0] ^= 1
    assert grey_or_coloured(grey) is grey
