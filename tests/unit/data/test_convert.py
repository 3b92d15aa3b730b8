from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from millscale.core.errors import DataError, UsageError
from millscale.core.types import Boxes, Problem
from millscale.data.convert import convert, to_class_folders, to_coco, to_pascal_voc, to_yolo, whole_folder
from millscale.data.manifest import ImageRecord, Manifest
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


def test_images_without_a_label_are_told_and_a_set_without_any_is_refused(tmp_path: Path) -> None:
    for i, name in enumerate(["Cr/1.bmp", "Sc/1.bmp", "unlabelled/2.bmp"]):
        draw(tmp_path / "in" / name, i)
    copy = convert(read(tmp_path / "in"), tmp_path / "out", "class_folders")
    assert len(copy) == 2
    assert "1 of 3 images have no label and were left out: unlabelled/2.bmp" in copy.problems[-1].message
    for name in ("Cr", "Sc"):
        (tmp_path / "in" / name / "1.bmp").unlink()
    with pytest.raises(DataError, match="expected labelled images, found none"):
        convert(read(tmp_path / "in"), tmp_path / "none", "class_folders")
    assert not (tmp_path / "none").exists()


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


def annotated(folder: Path, names: list[str], classes: tuple[str, ...] = ("dent",)) -> Manifest:
    """Images of 12 x 10 with one box each, in the split that the first folder of their name says."""
    records = []
    for name in names:
        path = folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.new("L", (12, 10), 90).save(path)
        box = Boxes(np.array([[1, 2, 7.5, 10]], np.float32), np.array([0]), difficult=np.array([True]))
        records.append(ImageRecord(name, path, boxes=box, split=name.partition("/")[0]))
    return Manifest(tuple(records), classes, str(folder))


def test_voc_as_written(tmp_path: Path) -> None:
    to_pascal_voc(annotated(tmp_path, ["train/a.png", "val/b.png"], ("dent", "none drawn")), tmp_path / "out")
    assert (tmp_path / "out/Annotations/a.xml").read_text() == (
        "<annotation>\n\t<filename>a.png</filename>\n\t<size>\n\t\t<width>12</width>\n\t\t<height>10</height>\n\t</size>"
        "\n\t<object>\n\t\t<name>dent</name>\n\t\t<difficult>1</difficult>\n\t\t<bndbox>\n\t\t\t<xmin>2</xmin>"
        "\n\t\t\t<ymin>3</ymin>\n\t\t\t<xmax>7.5</xmax>\n\t\t\t<ymax>10</ymax>\n\t\t</bndbox>\n\t</object>\n</annotation>\n"
    )
    assert (tmp_path / "out/ImageSets/Main/val.txt").read_text() == "b\n"
    assert (tmp_path / "out/classes.txt").read_text() == "dent\nnone drawn\n"


def test_coco_as_written(tmp_path: Path) -> None:
    to_coco(annotated(tmp_path, ["train/a.png", "val/a.png"]), tmp_path / "out")
    assert (tmp_path / "out/val/a.png").is_file()
    text = (tmp_path / "out/annotations/instances_val.json").read_text()
    assert '{"id": 1, "file_name": "a.png", "width": 12, "height": 10}' in text
    box = '"image_id": 1, "category_id": 1, "bbox": [1, 2, 6.5, 8], "area": 52, "iscrowd": 1, "segmentation": []'
    assert f'{{"id": 1, {box}}}' in text


def test_yolo_as_written(tmp_path: Path) -> None:
    to_yolo(annotated(tmp_path, ["train/a.png", "val/a.png"], ("dent", "no")), tmp_path / "out")
    label = (tmp_path / "out/labels/val/a.txt").read_text()
    assert label == "0 0.3541666667 0.6000000000 0.5416666667 0.8000000000\n"
    assert (tmp_path / "out/difficult.txt").read_text() == "labels/train/a.txt:1\nlabels/val/a.txt:1\n"
    yaml = (tmp_path / "out/data.yaml").read_text()
    assert yaml == "train: images/train\nval: images/val\nnames:\n  0: dent\n  1: 'no'\n"


@pytest.mark.parametrize("layout", ["voc", "coco", "yolo"])
def test_what_is_written_is_recognised(layout: str, tmp_path: Path) -> None:
    written = convert(annotated(tmp_path, ["train/a.png", "val/b.png"]), tmp_path / "out", layout)
    again = read(tmp_path / "out")
    assert read(tmp_path / "out", format=layout).fingerprint == written.fingerprint
    assert again.fingerprint == written.fingerprint
    assert [record.split for record in again.records] == ["train", "val"]


@pytest.mark.parametrize("layout", ["coco", "yolo"])
def test_images_of_one_name_keep_their_boxes_in_a_split_and_in_none(layout: str, tmp_path: Path) -> None:
    images = annotated(tmp_path, ["train/a.png", "none/a.png"])
    moved = Boxes(np.array([[0, 0, 3, 3]], np.float32), np.array([0]))
    records = (images.records[0], replace(images.records[1], split=None, boxes=moved))
    again = convert(replace(images, records=records), tmp_path / "out", layout)
    assert {record.split: record.boxes.xyxy[0, 2] for record in again.records} == {"train": 7.5, None: 3}


@pytest.mark.parametrize("name", ["notes", "labels"])
def test_an_image_may_be_called_as_a_file_beside_labels_is(name: str, tmp_path: Path) -> None:
    again = to_yolo(annotated(tmp_path, [f"train/{name}.png"]), tmp_path / "out")
    (record,) = again.records
    assert len(record.boxes) == 1


@pytest.mark.parametrize("name", ["../out of it", "/away", "crack/hole", "..", ".", "a\\b", "a\0b", ""])
def test_a_class_that_no_folder_can_be_called_by_is_refused(name: str, tmp_path: Path) -> None:
    images = annotated(tmp_path, ["train/a.png"], (name,))
    labelled = replace(images, records=(replace(images.records[0], label=name),))
    with pytest.raises(DataError, match="expected class names that folders can have, found"):
        to_class_folders(labelled, tmp_path / "deep/out")
    assert {path.name for path in tmp_path.iterdir()} == {"in", "deep"}
    assert not list((tmp_path / "deep").iterdir())


@pytest.mark.parametrize("layout", ["voc", "coco", "yolo"])
@pytest.mark.parametrize(
    ("names", "classes", "message"),
    [
        (["train/a.png", "train/A.jpg"], ("dent",), "differ before their ending"),
        (["train/a.png"], ("de\nnt",), "printable"),
        (["train/a.png"], (" dent",), "none blank"),
        ([], ("dent",), "found none in 0 images"),
    ],
)
def test_what_cannot_be_written_is_refused_and_leaves_nothing(
    layout: str, names: list[str], classes: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    images = annotated(tmp_path, names, classes)
    with pytest.raises(DataError, match=message):
        convert(images, tmp_path / "out", layout)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*"))


def test_annotations_that_cannot_be_used_are_refused_or_skipped(tmp_path: Path) -> None:
    sound = annotated(tmp_path, ["train/a.png", "train/b.png"])
    bad = Problem("box_inverted", "b.xml:3", "inverted", "mend", blocking=True, image="train/b.png")
    images = replace(sound, problems=(bad,))
    with pytest.raises(DataError, match=r"found 1 that cannot: b\.xml:3: inverted"):
        convert(images, tmp_path / "out", "voc")
    assert not (tmp_path / "out").exists()
    assert convert(images, tmp_path / "out", "voc", skip_bad=True).ids == ("JPEGImages/a.png",)


def test_an_unknown_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Unknown layout 'coc'\. Did you mean 'coco'"):
        convert(annotated(tmp_path, ["train/a.png"]), tmp_path / "out", "coc")
