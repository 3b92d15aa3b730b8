"""What the command line says, draws and writes of boxes, on two crops of one sheet and one of another."""

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from millscale.core.types import Boxes
from millscale.data.convert import to_pascal_voc
from millscale.data.manifest import ImageRecord, Manifest
from millscale.data.read import read
from millscale.imaging.mosaic import CAPTION, MARGIN, TITLE

SIDE, SHIFT = 100, 40


def texture(seed: int) -> np.ndarray:
    """Random texture with detail at two scales, as wide as two crops."""
    rng = np.random.default_rng(seed)
    coarse = PIL.Image.fromarray(rng.standard_normal((20, 40)).astype(np.float32))
    smooth = np.asarray(coarse.resize((2 * SIDE, SIDE), PIL.Image.Resampling.BICUBIC))
    return np.clip(128 + 30 * smooth + rng.normal(0, 12, (SIDE, 2 * SIDE)), 0, 255).astype(np.uint8)


CROPS = {
    "pit_1": (1, 0, [(50, 20, 80, 60), (0, 0, 30, 30)]),
    "pit_2": (1, SHIFT, [(14, 24, 44, 64)]),
    "pit_3": (2, 0, [(5, 5, 40, 40)]),
}
"""Sheet, left border on it, boxes. The first box of pit_1 and that of pit_2 are one, drawn 4 pixels apart."""


@pytest.fixture
def make(tmp_path: Path):
    def write(*names: str) -> Path:
        (tmp_path / "drawn").mkdir()
        records = []
        for name in names:
            seed, left, xyxy = CROPS[name]
            path = tmp_path / "drawn" / f"{name}.png"
            PIL.Image.fromarray(texture(seed)[:, left : left + SIDE]).save(path)
            records.append(ImageRecord(path.name, path, "pit", Boxes(np.array(xyxy), np.zeros(len(xyxy)))))
        folder = tmp_path / "data"
        to_pascal_voc(Manifest(tuple(records), ("pit",), str(tmp_path)), folder)
        return folder

    return write


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_check_measures_how_well_boxes_agree(millscale, make) -> None:
    done = millscale("data", "check", make(*CROPS), "--json", "--no-labels")
    assert done.code == 0, done.err
    found = json.loads(done.out)["box_agreement"]
    # 26×36 of the two boxes of 30×40 are common; the other boxes lie where no second image is.
    assert found["pairs"] == 1
    assert found["classes"]["pit"]["boxes"] == found["mean"]["boxes"] == 2
    assert found["classes"]["pit"]["mean_iou"] == pytest.approx(936 / 1464, abs=1e-6)
    assert (found["mean"]["iou50"], found["mean"]["iou75"], found["mean"]["missing"]) == (1, 0, 0)


def test_check_tells_people_how_well_boxes_agree_and_draws_them(millscale, make, tmp_path) -> None:
    done = millscale("data", "check", make(*CROPS), "--no-labels", "--out", tmp_path / "out")
    assert (done.code, done.out) == (0, "")
    lines = done.err.splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("Boxes drawn twice on the same pixels"))
    assert [line.split() for line in lines[start + 2 : start + 4]] == [
        ["pit", "2", "100.0%", "0.0%", "0.64", "0.0%"],
        ["mean", "2", "100.0%", "0.0%", "0.64", "0.0%"],
    ]
    assert f"Picture {tmp_path / 'out' / 'boxes.png'}" in lines
    # The shared 60×100 pixels, each view 400 high.
    with PIL.Image.open(tmp_path / "out" / "boxes.png") as picture:
        assert picture.height == MARGIN + TITLE + 400 + CAPTION + MARGIN


def test_check_says_nothing_of_boxes_that_cannot_be_compared(millscale, make, tmp_path) -> None:
    done = millscale("data", "check", make("pit_1", "pit_3"), "--no-labels", "--out", tmp_path / "out", "--json")
    found = json.loads(done.out)["box_agreement"]
    assert (found["pairs"], found["mean"]["boxes"], found["mean"]["iou50"]) == (0, 0, None)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"groups.png"}
    done = millscale("data", "check", tmp_path / "data", "--no-labels")
    assert (done.code, "Boxes drawn twice" in done.err) == (0, False)
    done = millscale("data", "check", tmp_path / "drawn", "--no-labels", "--json")
    assert "box_agreement" not in json.loads(done.out)


def test_convert_says_which_images_it_left_out(millscale, make, tmp_path) -> None:
    folder = make(*CROPS)
    (folder / "Annotations" / "pit_3.xml").write_text("<annotation>")
    words = ("data", "convert", folder, tmp_path / "out", "--to", "yolo")
    done = millscale(*words)
    assert (done.code, (tmp_path / "out").exists()) == (3, False)
    done = millscale(*words, "--skip-bad")
    assert (done.code, done.out) == (0, "")
    assert "1 of 3 images left out: JPEGImages/pit_3.png" in done.err
    assert "2 images in" in done.err


def test_masks_beside_their_images_become_boxes_where_their_format_is_named(millscale, tmp_path) -> None:
    folder = tmp_path / "tiles" / "blowhole"
    folder.mkdir(parents=True)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[10:30, 40:70] = 255
    for seed in (1, 2):
        PIL.Image.fromarray(texture(seed)[:, :SIDE]).save(folder / f"{seed}.jpg")
        PIL.Image.fromarray(mask).save(folder / f"{seed}.png")
    words = ("data", "convert", tmp_path / "tiles", tmp_path / "out", "--to", "coco")
    done = millscale(*words)
    assert done.code == 3
    assert "its masks become boxes with `millscale data convert DIR OUT --to voc --format masks`" in done.err
    done = millscale(*words, "--format", "masks")
    assert (done.code, done.out) == (0, ""), done.err
    drawn = [record.boxes.xyxy.tolist() for record in read(tmp_path / "out").records]
    assert drawn == [[[40, 10, 70, 30]]] * 2


def test_check_counts_images_without_a_label(millscale, make) -> None:
    folder = make(*CROPS)
    for name in ("pit_2", "pit_3"):
        for suffix, place in ((".xml", "Annotations"), (".png", "JPEGImages")):
            path = folder / place / f"{name}{suffix}"
            path.rename(path.with_stem(f"frame{name[-1]}"))
    (folder / "Annotations" / "frame3.xml").unlink()
    done = millscale("data", "check", folder, "--no-labels")
    assert done.code == 0, done.err
    assert [line.split() for line in done.err.splitlines() if line.startswith("  ")][:2] == [
        ["pit", "2", "3", "boxes"],
        ["without", "a", "label", "1"],
    ]


def test_consensus_writes_the_merged_boxes(millscale, make, tmp_path) -> None:
    folder = make(*CROPS)
    before = content(folder)
    done = millscale("data", "consensus", folder, tmp_path / "out")
    assert (done.code, done.out) == (0, "")
    assert "3 images in" in done.err
    assert "the boxes of 2 that overlap were merged: 4 boxes before, 4 now" in done.err
    merged = {record.path.name: record for record in read(tmp_path / "out").records}
    assert {name: sorted(record.boxes.xyxy.tolist()) for name, record in merged.items()} == {
        "pit_1.png": [[0, 0, 30, 30], [52, 22, 82, 62]],
        "pit_2.png": [[12, 22, 42, 62]],
        "pit_3.png": [[5, 5, 40, 40]],
    }
    for name, record in merged.items():
        assert record.path.read_bytes() == (tmp_path / "drawn" / name).read_bytes()
    assert content(folder) == before


def test_consensus_leaves_a_folder_that_holds_something_alone(millscale, make, tmp_path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "work.txt").write_text("mine")
    done = millscale("data", "consensus", make(*CROPS), tmp_path / "out")
    assert (done.code, done.out) == (3, "")
    assert f"{tmp_path / 'out'}: expected a new or empty folder, found other content" in done.err
    assert "read:" not in done.err  # told before the images are read
    assert content(tmp_path / "out") == {"work.txt": b"mine"}


@pytest.mark.parametrize(
    ("names", "source", "message"),
    [
        (list(CROPS), "drawn", "expected a data set with boxes, found none in 3 images. Add annotations (Pascal VOC"),
        (["pit_1", "pit_3"], "data", "expected annotated images that overlap, found none among 2. There is nothing"),
        (["pit_1"], "nowhere", "expected a folder of images, found nothing there"),
    ],
)
def test_consensus_of_nothing_is_refused_and_writes_nothing(millscale, make, tmp_path, names, source, message) -> None:
    make(*names)
    done = millscale("data", "consensus", tmp_path / source, tmp_path / "out")
    assert (done.code, done.out) == (3, "")
    assert f"{tmp_path / source}: {message}" in done.err
    assert {path.name for path in tmp_path.iterdir()} == {"data", "drawn"}


def test_consensus_does_not_drop_annotations_that_it_cannot_read(millscale, make, tmp_path) -> None:
    folder = make(*CROPS)
    (folder / "Annotations" / "pit_3.xml").write_text("<annotation>")
    done = millscale("data", "consensus", folder, tmp_path / "out")
    assert (done.code, (tmp_path / "out").exists()) == (3, False)
    assert "expected annotations that can all be used, found 1 that cannot" in done.err
    assert "pit_3.xml" in done.err
    done = millscale("data", "consensus", folder, tmp_path / "out", "--skip-bad")
    assert done.code == 0, done.err
    assert {path.name for path in (tmp_path / "out" / "JPEGImages").iterdir()} == {"pit_1.png", "pit_2.png"}
