import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from millscale.data.manifest import Manifest
from millscale.data.read import read

CLASSES = [{"id": 7, "name": "dent"}, {"id": 3, "name": "scratch"}]


def draw(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.full((30, 40), 90, np.uint8)).save(path)


def image(number: int, name: str) -> dict[str, Any]:
    return {"id": number, "file_name": name, "width": 40, "height": 30}


def box(number: int, *bbox: float, category: int = 7, **more: Any) -> dict[str, Any]:
    return {"id": number, "image_id": number, "category_id": category, "bbox": list(bbox), **more}


def write(path: Path, images: Any, annotations: Any, categories: Any = CLASSES) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        f'"{key}": [\n' + ",\n".join(map(json.dumps, entries)) + "\n]"
        for key, entries in (("images", images), ("annotations", annotations), ("categories", categories))
    ]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def told(manifest: Manifest, root: Path) -> list[tuple[str, str, bool, str | None]]:
    """The problems of files; those of classes name no file."""
    files = [problem for problem in manifest.problems if "class" not in problem.code or "unknown" in problem.code]
    return [(p.code, str(Path(p.path).relative_to(root)), p.blocking, p.image) for p in files]


def test_boxes_are_left_top_width_height_and_a_crowd_is_difficult(tmp_path: Path) -> None:
    for name in ("1.jpg", "2.jpg", "3.jpg"):
        draw(tmp_path / "images" / name)
    crowd = box(1, 1.5, 0, 2.25, 30, category=3, iscrowd=1)
    write(tmp_path / "annotations.json", [image(1, "1.jpg"), image(2, "2.jpg")], [box(1, 0, 0, 40, 30), crowd])
    manifest = read(tmp_path)
    first, second, third = (record.boxes for record in manifest.records)
    assert first is not None
    assert second is not None
    assert first.xyxy.tolist() == [[0, 0, 40, 30], [1.5, 0, 3.75, 30]]
    assert first.class_id.tolist() == [0, 1]
    assert first.difficult is not None
    assert first.difficult.tolist() == [False, True]
    assert (len(second), third) == (0, None)
    assert manifest.classes == ("dent", "scratch")
    assert told(manifest, tmp_path) == [("no_annotation", "images/3.jpg", False, None)]


def test_an_entry_to_ignore_is_difficult_too(tmp_path: Path) -> None:
    draw(tmp_path / "images" / "1.jpg")
    marks: list[dict[str, Any]] = [{}, {"ignore": 1}, {"ignore": 0, "iscrowd": 0}, {"iscrowd": "0"}, {"iscrowd": True}]
    boxes = [box(1, 0, 0, 4 + i, 3, **mark) for i, mark in enumerate(marks)]
    write(tmp_path / "annotations.json", [image(1, "1.jpg")], boxes)
    (record,) = read(tmp_path).records
    assert record.boxes is not None
    assert record.boxes.difficult is not None
    assert record.boxes.difficult.tolist() == [False, True, False, False, True]


def test_a_mark_to_ignore_that_is_no_mark_is_told(tmp_path: Path) -> None:
    draw(tmp_path / "images" / "1.jpg")
    write(tmp_path / "annotations.json", [image(1, "1.jpg")], [box(1, 0, 0, 4, 3, iscrowd="maybe")])
    manifest = read(tmp_path)
    assert ("unreadable_annotation", "annotations.json:6", True, "images/1.jpg") in told(manifest, tmp_path)
    assert manifest.records[0].boxes is None


def test_roboflow_and_coco_2017_keep_their_splits(tmp_path: Path) -> None:
    parents = [{"id": 0, "name": "defects", "supercategory": "none"}]
    classes = [*parents, *({**entry, "supercategory": "defects"} for entry in CLASSES)]
    for root, folder, where in (
        ("roboflow", "valid", "valid/_annotations.coco.json"),
        ("coco", "val2017", "annotations/instances_val2017.json"),
    ):
        for number in (1, 2):
            draw(tmp_path / root / folder / f"{number}.jpg")
            draw(tmp_path / root / folder.replace("val", "train").replace("id", "") / f"{number}.jpg")
        write(tmp_path / root / where, [image(1, "1.jpg"), image(2, "2.jpg")], [box(1, 2, 3, 4, 5)], classes)
        (tmp_path / root / "annotations").mkdir(exist_ok=True)
        (tmp_path / root / "annotations/captions_val2017.json").write_text("{}")
        manifest = read(tmp_path / root)
        annotated = {record.id: record.split for record in manifest.records if record.boxes is not None}
        assert annotated == {f"{folder}/{number}.jpg": "val" for number in (1, 2)}
        assert manifest.classes == ("dent", "scratch")
        assert {record.split for record in manifest.records} == {"train", "val"}


@pytest.mark.parametrize(
    ("bad", "code", "blocking", "line", "boxes"),
    [
        (box(2, 1, 1, float("nan"), 4), "unreadable_annotation", True, 8, None),
        (box(2, 1, 1, 4), "unreadable_annotation", True, 8, None),
        (box(2, 1, 1, 4, 4, category=9), "unknown_class", True, 8, []),
        (box(2, 9, 9, -4, 4), "box_inverted", True, 8, []),
        (box(2, 9, 9, 0, 4), "box_empty", True, 8, []),
        (box(2, 9, 9, 0.5, 4), "box_tiny", False, 8, [[9, 9, 9.5, 13]]),
        (box(2, 90, 9, 4, 4), "box_outside", True, 8, []),
        (box(2, 30, 9, 40, 4), "box_outside", False, 8, [[30, 9, 40, 13]]),
        ({**box(2, 1, 1, 4, 4), "image_id": 77}, "no_image", True, 8, []),
        ({**box(2, 1, 1, 4, 4), "image_id": [2]}, "no_image", True, 8, []),
    ],
)
def test_a_bad_entry_is_told_with_its_line_and_spares_the_other_images(
    bad: dict[str, Any], code: str, blocking: bool, line: int, boxes: list[list[float]] | None, tmp_path: Path
) -> None:
    for number in (1, 2):
        draw(tmp_path / f"images/{number}.jpg")
    write(tmp_path / "coco.json", [image(1, "1.jpg"), image(2, "2.jpg")], [box(1, 1, 1, 4, 4), bad])
    manifest = read(tmp_path)
    of = None if code == "no_image" else "images/2.jpg"
    assert told(manifest, tmp_path)[0] == (code, f"coco.json:{line}", blocking, of)
    first, second = (record.boxes for record in manifest.records)
    assert first is not None
    assert first.xyxy.tolist() == [[1, 1, 5, 5]]
    assert (None if second is None else second.xyxy.tolist()) == boxes


def test_an_entry_without_its_image_and_a_size_that_differs(tmp_path: Path) -> None:
    draw(tmp_path / "images/1.jpg")
    resized = {**image(1, "1.jpg"), "width": 80}
    write(tmp_path / "coco.json", [resized, image(2, "2.jpg")], [box(1, 1, 1, 4, 4), box(2, 1, 1, 4, 4)])
    assert told(read(tmp_path), tmp_path)[:2] == [
        ("no_image", "coco.json:4", True, None),
        ("size_mismatch", "coco.json:3", False, "images/1.jpg"),
    ]


def test_a_label_that_boxes_gave_does_not_contradict_them(tmp_path: Path) -> None:
    draw(tmp_path / "images/1.jpg")
    draw(tmp_path / "images/2.jpg")
    boxes = [box(1, 1, 1, 4, 4), box(1, 9, 9, 4, 4), box(1, 20, 9, 4, 4, category=2)]
    write(tmp_path / "coco.json", [image(1, "1.jpg"), image(2, "2.jpg")], boxes, [*CLASSES, {"id": 3, "name": "good"}])
    manifest = read(tmp_path)
    assert [record.label for record in manifest.records] == ["dent", None]
    problems = {problem.code: problem for problem in manifest.problems}
    assert "box_class" not in problems
    assert problems["empty_class"].message == "class 'good' is listed, but no box is of it"


def test_whose_boxes_nobody_knows_has_none(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        draw(tmp_path / f"images/{number}.jpg")
    images = [image(1, "1.jpg"), image(1, "2.jpg"), image(3, "3.jpg")]
    write(tmp_path / "coco.json", images, [box(1, 1, 1, 4, 4), box(3, 1, 1, 4, 4)])
    manifest = read(tmp_path)
    assert [record.boxes is None for record in manifest.records] == [True, True, False]
    assert {problem.image for problem in manifest.problems if problem.blocking} == {"images/1.jpg", "images/2.jpg"}


def test_an_entry_of_one_split_never_takes_the_image_of_another(tmp_path: Path) -> None:
    draw(tmp_path / "val/1.jpg")
    write(tmp_path / "annotations/instances_train.json", [image(1, "1.jpg")], [box(1, 1, 1, 4, 4)])
    manifest = read(tmp_path)
    assert manifest.records[0].boxes is None
    assert "no_image" in {problem.code for problem in manifest.problems}


def test_an_image_in_two_files_has_the_boxes_of_the_first(tmp_path: Path) -> None:
    draw(tmp_path / "images/1.jpg")
    write(tmp_path / "annotations/a.json", [image(1, "1.jpg")], [box(1, 1, 1, 4, 4)])
    write(tmp_path / "annotations/b.json", [image(1, "1.jpg")], [])
    manifest = read(tmp_path)
    assert len(manifest.records[0].boxes or ()) == 1
    assert told(manifest, tmp_path)[0] == ("annotated_twice", "annotations/b.json:3", False, "images/1.jpg")


@pytest.mark.parametrize("other", ["train.json", "annotations/export_info.json"])
def test_a_file_that_is_not_called_so_must_begin_as_coco_does(other: str, tmp_path: Path) -> None:
    for number in (1, 2):
        draw(tmp_path / f"images/{number}.jpg")
    write(tmp_path / "val.json", [image(1, "images/1.jpg")], [box(1, 1, 1, 4, 4)])
    (tmp_path / other).parent.mkdir(exist_ok=True)
    (tmp_path / other).write_text('{"epochs": 3}')
    manifest = read(tmp_path)
    assert [(record.split, record.boxes is None) for record in manifest.records] == [("val", False), (None, True)]
    assert "unreadable_annotation" not in {problem.code for problem in manifest.problems}


def test_an_outline_without_box_becomes_the_box_around_it(tmp_path: Path) -> None:
    draw(tmp_path / "images/1.jpg")
    outlined = {**box(1), "segmentation": [[1, 2, 9, 2, 9, 7], [3, 1, 4, 1, 4, 3]]}
    write(tmp_path / "coco.json", [image(1, "1.jpg")], [outlined])
    boxes = read(tmp_path).records[0].boxes
    assert boxes is not None
    assert boxes.xyxy.tolist() == [[1, 1, 9, 7]]


@pytest.mark.parametrize(
    ("text", "place", "found"),
    [
        ('{"images": [],\n "annotations": [', "coco.json:2", "Expecting value"),
        ("", "coco.json:1", "Expecting value"),
        ("[1, 2]", "coco.json", "no list of objects 'images'"),
        ('{"images": [1], "annotations": [], "categories": []}', "coco.json", "no list of objects 'images'"),
        ("[" * 100_000, "coco.json", "recursion"),
        (b"\xff\xfe\x00", "coco.json", "decode"),
    ],
)
def test_an_unreadable_file_leaves_its_images_not_annotated(
    text: str | bytes, place: str, found: str, tmp_path: Path
) -> None:
    draw(tmp_path / "images/1.jpg")
    (tmp_path / "coco.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    manifest = read(tmp_path)
    assert told(manifest, tmp_path)[0] == ("unreadable_annotation", place, True, None)
    assert found in manifest.problems[0].message
    assert manifest.records[0].boxes is None
