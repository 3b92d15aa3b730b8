from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from millscale.data.manifest import Manifest
from millscale.data.read import read


def draw(path: Path, size: tuple[int, int] = (40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.full(size[::-1], 90, np.uint8)).save(path)


def annotate(path: Path, *corners: str, head: str = "") -> None:
    """One line a tag, so that the lines can be counted: the first object begins on line 2, or after ``head``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    objects = "".join(
        f"<object><name>dent</name>\n<bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox>"
        "</object>\n"
        for a, b, c, d in (text.split() for text in corners)
    )
    path.write_text(f"<annotation>\n{head}{objects}</annotation>\n")


def told(manifest: Manifest, root: Path) -> list[tuple[str, str, bool, str | None]]:
    """The problems of files; those of classes name no file."""
    files = [problem for problem in manifest.problems if "class" not in problem.code or "unknown" in problem.code]
    return [(p.code, str(Path(p.path).relative_to(root)), p.blocking, p.image) for p in files]


@pytest.mark.parametrize(
    ("corners", "code", "blocking", "kept"),
    [
        ("1 1 41 30", "box_outside", False, [[0, 0, 40, 30]]),
        ("-9 1 5 5", "box_outside", False, [[0, 0, 5, 5]]),
        ("50 1 60 5", "box_outside", True, []),
        ("9 1 5 5", "box_inverted", True, []),
        ("9 9 20 3", "box_inverted", True, []),
        ("9 1 8 5", "box_empty", True, []),
    ],
)
def test_a_doubtful_box_is_told_with_its_file_and_line(
    corners: str, code: str, blocking: bool, kept: list[list[int]], tmp_path: Path
) -> None:
    draw(tmp_path / "images/1.png")
    annotate(tmp_path / "annotations/1.xml", "2 2 3 3", corners)
    manifest = read(tmp_path)
    assert told(manifest, tmp_path)[0] == (code, "annotations/1.xml:4", blocking, "images/1.png")
    boxes = manifest.records[0].boxes
    assert boxes is not None
    assert boxes.xyxy.tolist() == [[1, 1, 3, 3], *kept]


OBJECT = (
    "<annotation>\n<object>{name}<bndbox><xmin>1</xmin><ymin>{top}</ymin><xmax>{right}</xmax><ymax>2</ymax></bndbox>"
    "</object></annotation>"
)


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        ("<annotation>\n\n<object><name>dent</name>\n", 4, "no element found"),
        ("<annotation>\n<object><name>dent</name></object></annotation>", 2, "xmin, ymin, xmax and ymax"),
        (OBJECT.format(name="<name>dent</name>", top="nan", right="2"), 2, "found: 'nan'"),
        (OBJECT.format(name="<name>dent</name>", top="1", right="inf"), 2, "found: 'inf'"),
        (OBJECT.format(name="", top="1", right="2"), 2, "an object with a name"),
        ('<!DOCTYPE x [\n<!ENTITY a "aaaa">\n]><annotation>&a;</annotation>', 2, "found: entities"),
    ],
)
def test_an_unreadable_file_is_told_with_its_line_and_its_boxes_are_unknown(
    text: str, line: int, found: str, tmp_path: Path
) -> None:
    draw(tmp_path / "images/1.png")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/1.xml").write_text(text)
    manifest = read(tmp_path)
    assert told(manifest, tmp_path) == [
        ("unreadable_annotation", f"annotations/1.xml:{line}", True, "images/1.png"),
    ]
    assert found in manifest.problems[0].message
    assert manifest.records[0].boxes is None


@pytest.mark.parametrize(
    ("head", "codes"),
    [
        ("<filename>1.png</filename><size><width>40</width><height>30</height></size>\n", []),
        ("<filename>1</filename>\n", ["filename_suffix"]),
        ("<filename>2.png</filename>\n", ["filename_other"]),
        ("<filename>C:\\photos\\1.png</filename>\n", []),
        ("<size><width>30</width><height>40</height></size>\n", ["size_mismatch"]),
        ("<size><width>0</width><height>0</height></size>\n", []),
        ("<size><width>wide</width></size>\n", []),
    ],
)
def test_what_the_file_says_of_its_image_is_compared(head: str, codes: list[str], tmp_path: Path) -> None:
    draw(tmp_path / "images/1.png")
    draw(tmp_path / "images/2.png")
    annotate(tmp_path / "annotations/1.xml", "2 2 3 3", head=head)
    annotate(tmp_path / "annotations/2.xml", "2 2 3 3")
    manifest = read(tmp_path)
    assert [problem.code for problem in manifest.problems] == codes
    assert all(problem.image == "images/1.png" and not problem.blocking for problem in manifest.problems)


def test_an_annotation_of_a_missing_image_cannot_be_used(tmp_path: Path) -> None:
    draw(tmp_path / "images/1.png")
    draw(tmp_path / "images/2.png")
    annotate(tmp_path / "annotations/1.xml", "2 2 3 3")
    annotate(tmp_path / "annotations/3.xml", "2 2 3 3")
    assert told(read(tmp_path), tmp_path)[:2] == [
        ("no_annotation", "images/2.png", False, None),
        ("no_image", "annotations/3.xml", True, None),
    ]


def test_a_file_of_another_split_is_taken_only_where_its_own_image_is_missing(tmp_path: Path) -> None:
    for split in ("train", "val"):
        draw(tmp_path / split / "images/1.png")
    annotate(tmp_path / "val/annotations/1.xml", "2 2 3 3")
    annotated = {record.id: record.boxes is not None for record in read(tmp_path).records}
    assert annotated == {"train/images/1.png": False, "val/images/1.png": True}


def test_xml_beside_its_image_and_names_of_roboflow(tmp_path: Path) -> None:
    for split, name in (("train", "crazing_1_jpg.rf.0a1b2c"), ("valid", "patches_2_jpg.rf.9f8e7d")):
        draw(tmp_path / split / f"{name}.png")
        text = (
            "<annotation><object><name>crazing</name><bndbox><xmin>2</xmin><ymin>2</ymin><xmax>3</xmax><ymax>3</ymax>"
        )
        (tmp_path / split / f"{name}.xml").write_text(f"{text}</bndbox></object></annotation>")
    manifest = read(tmp_path)
    assert [(record.split, record.label, len(record.boxes or ())) for record in manifest.records] == [
        ("train", "crazing", 1),
        ("val", "patches", 1),
    ]


def test_voc2007_takes_its_split_from_lists(tmp_path: Path) -> None:
    root = tmp_path / "VOCdevkit/VOC2007"
    for number in range(4):
        draw(root / f"JPEGImages/00{number}.jpg")
        annotate(root / f"Annotations/00{number}.xml", "2 2 3 3")
    lists = root / "ImageSets/Main"
    lists.mkdir(parents=True)
    for name, text in (
        ("train", "000\n009\n"),
        ("val", "001\n"),
        ("trainval", "000\n001\n"),
        ("dent_train", "000 1\n"),
    ):
        (lists / f"{name}.txt").write_text(text)
    manifest = read(tmp_path)
    assert [record.split for record in manifest.records] == ["train", "val", None, None]
    assert [record.label for record in manifest.records] == ["dent"] * 4
    assert [(p.code, Path(p.path).name) for p in manifest.problems] == [("no_image", "train.txt:2")]


def test_class_folders_below_the_images_are_labels_only_where_one_names_a_class(tmp_path: Path) -> None:
    for place in ("dent/1", "good/2"):
        draw(tmp_path / f"a/images/{place}.png")
        draw(tmp_path / f"b/images/{place.replace('dent', 'coil 7').replace('good', 'coil 8')}.png")
    for root in ("a", "b"):
        annotate(tmp_path / root / "annotations/1.xml", "2 2 3 3")
        annotate(tmp_path / root / "annotations/2.xml")
    assert [record.label for record in read(tmp_path / "a").records] == ["dent", "good"]
    assert [record.label for record in read(tmp_path / "b").records] == ["dent", None]


def test_the_fingerprint_changes_with_the_boxes(tmp_path: Path) -> None:
    for number in (1, 2):
        draw(tmp_path / f"images/crazing_{number}.png")
    found = set()
    for corners in (["2 2 3 3"], ["2 2 3 4"], []):
        annotate(tmp_path / "annotations/crazing_1.xml", *corners)
        annotate(tmp_path / "annotations/crazing_2.xml", "2 2 3 3")
        found.add(read(tmp_path).fingerprint)
    (tmp_path / "annotations/crazing_1.xml").unlink()
    found.add(read(tmp_path).fingerprint)
    assert len(found) == 4
