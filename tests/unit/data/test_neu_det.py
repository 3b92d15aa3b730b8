from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from millscale.data.manifest import Manifest
from millscale.data.read import read

Box = tuple[str, tuple[float, float, float, float], bool]


def draw(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.full((100, 200), 90, np.uint8)).save(path)


def annotate(path: Path, *boxes: Box) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    objects = "".join(
        f"<object><name>{name}</name><difficult>{int(difficult)}</difficult><bndbox><xmin>{x1}</xmin>"
        f"<ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for name, (x1, y1, x2, y2), difficult in boxes
    )
    path.write_text(f"<annotation>{objects}</annotation>")


def codes(manifest: Manifest) -> list[str]:
    return sorted(problem.code for problem in manifest.problems)


WHOLE: Box = ("crazing", (1, 1, 200, 100), False)


def neu_det(root: Path) -> None:
    for name in ("crazing", "patches"):
        for i in (1, 2):
            draw(root / f"IMAGES/{name}_{i}.jpg")
            annotate(root / f"ANNOTATIONS/{name}_{i}.xml", (name, (41, 11, 60, 20), False))


def test_boxes_become_half_open_and_zero_based(tmp_path: Path) -> None:
    neu_det(tmp_path)
    annotate(tmp_path / "ANNOTATIONS/crazing_1.xml", WHOLE, ("crazing", (5, 7, 5, 7), True))
    manifest = read(tmp_path)
    boxes = manifest.records[0].boxes
    assert manifest.records[0].id == "IMAGES/crazing_1.jpg"
    assert boxes is not None
    np.testing.assert_array_equal(boxes.xyxy, [[0, 0, 200, 100], [4, 6, 5, 7]])
    np.testing.assert_array_equal(boxes.difficult, [False, True])
    np.testing.assert_array_equal(boxes.class_id, [0, 0])
    assert manifest.class_counts == {"crazing": 2, "patches": 2}
    assert manifest.problems == ()


def test_image_without_objects_has_no_boxes_and_its_name_as_label(tmp_path: Path) -> None:
    neu_det(tmp_path)
    annotate(tmp_path / "ANNOTATIONS/crazing_1.xml")
    record = read(tmp_path).records[0]
    assert record.label == "crazing"
    assert record.boxes is not None
    assert len(record.boxes) == 0


def test_boxes_of_another_class_and_twice_are_kept_and_reported(tmp_path: Path) -> None:
    neu_det(tmp_path)
    annotate(tmp_path / "ANNOTATIONS/crazing_1.xml", WHOLE, WHOLE, ("patches", (1, 1, 9, 9), False))
    manifest = read(tmp_path)
    boxes = manifest.records[0].boxes
    assert manifest.records[0].label == "crazing"
    assert boxes is not None
    np.testing.assert_array_equal(boxes.class_id, [0, 0, 1])
    assert codes(manifest) == ["box_class", "box_twice"]
    assert not any(problem.blocking for problem in manifest.problems)


def test_boxes_beyond_the_image_are_clipped_and_empty_ones_left_out(tmp_path: Path) -> None:
    neu_det(tmp_path)
    beyond: Box = ("crazing", (0, 50, 250, 101), False)
    annotate(tmp_path / "ANNOTATIONS/crazing_1.xml", beyond, ("crazing", (30, 9, 20, 9), False))
    manifest = read(tmp_path)
    boxes = manifest.records[0].boxes
    assert boxes is not None
    np.testing.assert_array_equal(boxes.xyxy, [[0, 49, 200, 100]])
    assert [(problem.code, problem.blocking) for problem in manifest.problems] == [
        ("box_outside", False),
        ("box_inverted", True),
    ]


def test_kaggle_layout_pairs_an_xml_that_lies_in_the_other_split(tmp_path: Path) -> None:
    root = tmp_path / "NEU-DET"
    for i, split in ((1, "train"), (2, "train"), (3, "validation")):
        draw(root / split / f"images/crazing/crazing_{i}.jpg")
        annotate(root / ("validation" if i > 1 else "train") / f"annotations/crazing_{i}.xml", WHOLE)
    manifest = read(tmp_path)
    assert [(r.id, r.split, r.boxes is not None) for r in manifest.records] == [
        ("train/images/crazing/crazing_1.jpg", "train", True),
        ("train/images/crazing/crazing_2.jpg", "train", True),
        ("validation/images/crazing/crazing_3.jpg", "val", True),
    ]
    assert manifest.problems == ()


def test_equal_names_in_two_splits_take_the_xml_of_their_own(tmp_path: Path) -> None:
    for split, right in (("train", 10), ("val", 20)):
        draw(tmp_path / split / "images/a/1.png")
        annotate(tmp_path / split / "annotations/1.xml", ("a", (1, 1, right, 10), False))
    rights = [record.boxes.xyxy[0, 2] for record in read(tmp_path).records if record.boxes]
    assert rights == [10, 20]


def test_label_of_unnamed_images_is_the_class_of_most_boxes(tmp_path: Path) -> None:
    scratch: Box = ("oil spot", (1, 1, 5, 5), False)
    for i, boxes in enumerate([(scratch, WHOLE, ("oil spot", (8, 8, 9, 9), False)), (WHOLE,), ()]):
        draw(tmp_path / f"JPEGImages/frame{i}.jpg")
        annotate(tmp_path / f"Annotations/frame{i}.xml", *boxes)
    manifest = read(tmp_path)
    assert [record.label for record in manifest.records] == ["oil spot", "crazing", None]
    assert [record.boxes is not None and len(record.boxes) for record in manifest.records] == [3, 1, 0]
    assert manifest.classes == ("crazing", "oil spot")


def test_what_does_not_pair_is_reported(tmp_path: Path) -> None:
    neu_det(tmp_path)
    (tmp_path / "ANNOTATIONS/crazing_1.xml").unlink()
    annotate(tmp_path / "ANNOTATIONS/crazing_9.xml", WHOLE)
    manifest = read(tmp_path)
    assert codes(manifest) == ["no_annotation", "no_image"]
    assert manifest.records[0].boxes is None
    assert len(manifest) == 4


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><annotation>&b;</annotation>'
NO_BOX = "<annotation><object><name>a</name></object></annotation>"
NO_NUMBER = NO_BOX.replace("</name>", "</name><bndbox><xmin>nan</xmin><ymin>1</ymin></bndbox>")


@pytest.mark.parametrize("content", ["<annotation><object>", "", BOMB, NO_BOX, NO_NUMBER])
def test_bad_annotation_is_reported_and_its_boxes_stay_unknown(content: str, tmp_path: Path) -> None:
    neu_det(tmp_path)
    (tmp_path / "ANNOTATIONS/crazing_1.xml").write_text(content)
    manifest = read(tmp_path)
    assert codes(manifest) == ["unreadable_annotation"]
    assert manifest.problems[0].blocking
    assert manifest.records[0].boxes is None
