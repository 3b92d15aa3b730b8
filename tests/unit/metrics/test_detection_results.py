import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from millscale.core.errors import DataError
from millscale.core.types import Boxes
from millscale.data.manifest import ImageRecord, Manifest
from millscale.metrics.detection_results import read_coco_results, write_coco_results
from millscale.metrics.detections import DetectionTable

NONE = Boxes(np.zeros((0, 4)), [])
DRAWN = Boxes([[1, 2, 30, 40], [0, 0, 9, 9]], [0, 1], difficult=[False, True])
FOUND = Boxes([[0.14, 0.26, 10.04, 20.05], [5, 6, 7, 8]], [1, 0], [0.123456, 1])
TABLE = DetectionTable(
    ids=("train/b.png", "train/a.png"),
    paths=(Path("b.png"), Path("a.png")),
    sizes=((50, 60), (70, 80)),
    classes=("crack", "dent"),
    truth=(DRAWN, NONE),
    found=(FOUND, NONE),
    groups=("coil 1", None),
    fold=np.array([1, 0]),
)


def record(name, boxes, group=None):
    return ImageRecord(name, Path("/data", name), boxes=boxes, group=group)


# In another order, with its classes the other way round and one image more.
SWAPPED = Boxes(DRAWN.xyxy, [1, 0], difficult=DRAWN.difficult)
STEEL = Manifest(
    (record("train/a.png", NONE), record("train/b.png", SWAPPED, "coil 1"), record("train/c.png", NONE)),
    ("dent", "crack"),
    "steel",
)


@pytest.fixture
def path(tmp_path):
    write_coco_results(tmp_path / "found.json.gz", TABLE)
    return tmp_path / "found.json.gz"


def stored(path):
    return json.loads(gzip.decompress(path.read_bytes()))


def rewrite(path, document):
    path.write_bytes(gzip.compress(json.dumps(document).encode()))


def test_what_is_written(path):
    assert stored(path) == {
        "info": {"description": "boxes found, in COCO's result format", "version": "1"},
        "images": [
            {"id": 1, "file_name": "train/b.png", "width": 60, "height": 50, "fold": 1},
            {"id": 2, "file_name": "train/a.png", "width": 80, "height": 70, "fold": 0},
        ],
        "categories": [{"id": 1, "name": "crack"}, {"id": 2, "name": "dent"}],
        "annotations": [
            {"image_id": 1, "category_id": 2, "bbox": [0.1, 0.3, 9.9, 19.7], "score": 0.1235},
            {"image_id": 1, "category_id": 1, "bbox": [5.0, 6.0, 2.0, 2.0], "score": 1.0},
        ],
    }


def test_what_is_read_has_the_truth_and_groups_of_the_data_set(path):
    again = read_coco_results(path, STEEL)
    assert (again.ids, again.sizes, again.classes, again.groups) == (
        TABLE.ids,
        TABLE.sizes,
        TABLE.classes,
        TABLE.groups,
    )
    assert again.paths == (Path("/data/train/b.png"), Path("/data/train/a.png"))
    assert_array_equal(again.fold, [1, 0])
    assert_array_equal(again.found[0].xyxy, np.array([[0.1, 0.3, 10, 20], [5, 6, 7, 8]], np.float32))
    assert_array_equal(again.found[0].class_id, [1, 0])
    assert_array_equal(again.found[0].score, np.array([0.1235, 1], np.float32))
    assert_array_equal(again.truth[0].xyxy, DRAWN.xyxy)
    assert_array_equal(again.truth[0].class_id, [0, 1])
    assert_array_equal(again.truth[0].difficult, [False, True])
    assert len(again.truth[1]) == len(again.found[1]) == 0


def test_what_was_read_is_written_as_the_same_bytes(path, tmp_path):
    write_coco_results(tmp_path / "again.json.gz", read_coco_results(path, STEEL))
    assert (tmp_path / "again.json.gz").read_bytes() == path.read_bytes()


def test_no_time_is_written_that_would_change_the_bytes(path):
    assert path.read_bytes()[4:8] == bytes(4)


def test_without_folds_there_are_none(path):
    write_coco_results(path, replace(TABLE, fold=None))
    assert "fold" not in stored(path)["images"][0]
    assert read_coco_results(path, STEEL).fold is None


def test_where_folders_differ_the_file_name_finds_the_image(path):
    flat = replace(STEEL, records=tuple(replace(r, id=f"valid/deep/{Path(r.id).name}") for r in STEEL.records))
    assert read_coco_results(path, flat).ids == ("valid/deep/b.png", "valid/deep/a.png")


def test_an_id_is_found_before_a_file_name_that_stands_twice(path):
    both = replace(STEEL, records=(*STEEL.records, record("valid/a.png", DRAWN)))
    assert read_coco_results(path, both).ids == TABLE.ids


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (STEEL.records[:1], r"each of its 2 images once in steel, found 1 missing .*such as train/b\.png; pass"),
        ((), "found 2 missing or there twice, such as train/b.png"),
        (
            (STEEL.records[0], record("x/b.png", DRAWN), record("y/b.png", DRAWN)),
            r"found 1 missing or there twice, such as train/b\.png",
        ),
        (
            (STEEL.records[0], record("train/b.png", None)),
            r"b\.png: expected annotated boxes .*found none; add its ann",
        ),
        (
            (STEEL.records[0], record("train/b.png", Boxes([[0, 0, 9, 9]], [2]))),
            r"b\.png: expected boxes of crack, dent, found pit; pass the data set",
        ),
    ],
    ids=["one missing", "all missing", "twice", "not annotated", "unknown class"],
)
def test_a_data_set_that_does_not_fit(path, records, message):
    with pytest.raises(DataError, match=message):
        read_coco_results(path, replace(STEEL, records=tuple(records), classes=("dent", "crack", "pit")))


def flipped(data):
    return data[:20] + bytes(byte ^ 0xFF for byte in data[20:40]) + data[40:]


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        pytest.param(lambda _: b"", "", id="empty"),
        pytest.param(gzip.decompress, "Not a gzipped file", id="not compressed"),
        pytest.param(lambda data: data[:-20], "Compressed file ended", id="cut"),
        pytest.param(flipped, "Error -3 while decompressing", id="flipped bits"),
        pytest.param(lambda data: data[:-8] + bytes(4) + data[-4:], "CRC check failed", id="wrong checksum"),
        pytest.param(lambda _: gzip.compress(b"{"), "Expecting property name", id="no JSON"),
        pytest.param(lambda _: gzip.compress(b'{"\xff": 1}'), "can't decode byte 0xff", id="no text"),
        pytest.param(lambda _: gzip.compress(b"[" * 200_000), "recursion", id="too deep"),
        pytest.param(lambda _: gzip.compress(b"[]"), "a list", id="another document"),
        pytest.param(lambda _: gzip.compress(b"{}"), "KeyError 'categories'", id="nothing in it"),
    ],
)
def test_a_broken_file_is_named_with_what_is_wrong(path, damage, found):
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=rf"found\.json\.gz: expected gzipped COCO results .*found .*{found}.*; pass a"):
        read_coco_results(path, STEEL)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"none\.json\.gz: expected gzipped COCO results .*No such file"):
        read_coco_results(tmp_path / "none.json.gz", STEEL)


@pytest.mark.parametrize(
    ("part", "change", "found"),
    [
        ("annotations", {"image_id": 9}, "KeyError 9"),
        ("annotations", {"category_id": 9}, "KeyError 9"),
        ("annotations", {"bbox": [0, 0, 9]}, "ValueError not enough values"),
        ("annotations", {"bbox": None}, "TypeError"),
        ("annotations", {"score": "high"}, "ValueError could not convert"),
        ("images", {"id": 2}, "an image id that stands twice"),
        ("images", {"id": float("inf")}, "OverflowError"),
        ("images", {"width": "wide"}, "ValueError"),
        ("images", {"fold": "first"}, "ValueError"),
        ("categories", {"id": None}, "TypeError"),
    ],
)
def test_an_entry_that_makes_no_sense(path, part, change, found):
    document = stored(path)
    document[part][0].update(change)
    rewrite(path, document)
    with pytest.raises(DataError, match=rf"found\.json\.gz: expected gzipped COCO results .*found {found}"):
        read_coco_results(path, STEEL)


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("images", {"file_name": "train/a.png"}, "2 unique ids, found 1"),
        ("annotations", {"score": 1.5}, r"train/b\.png: expected found boxes .* with scores \[1.5"),
        ("annotations", {"bbox": [5, 5, -2, 3]}, r"train/b\.png: expected found boxes .*\[5.0, 5.0, 3.0, 8.0\]"),
    ],
)
def test_boxes_and_images_that_cannot_be(path, part, change, message):
    document = stored(path)
    document[part][0].update(change)
    rewrite(path, document)
    with pytest.raises(DataError, match=message):
        read_coco_results(path, STEEL)


def test_corners_come_back_to_a_tenth_of_a_pixel(path):
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 500, (200, 2))
    boxes = Boxes(np.hstack([corners, corners + rng.uniform(0, 90, (200, 2))]), [0] * 200, rng.random(200))
    write_coco_results(path, replace(TABLE, found=(boxes, NONE)))
    again = read_coco_results(path, STEEL).found[0]
    assert_array_equal(again.xyxy, (np.rint(boxes.xyxy.astype(float) * 10) / 10).astype(np.float32))
    assert_allclose(again.score, boxes.score, atol=5.1e-5)
