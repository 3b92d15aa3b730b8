"""What one layout holds, every other layout holds too."""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millscale.core.types import Boxes
from millscale.data.classes import NEU_CLASSES, neu_class
from millscale.data.convert import convert
from millscale.data.manifest import ImageRecord, Manifest
from millscale.data.read import read

LAYOUTS = ("voc", "coco", "yolo")
EXACT, RELATIVE = 1e-6, 1e-3
CHARACTERS = st.characters(categories=["L", "N", "P", "S", "Zs"], exclude_characters="/\\")


@dataclass(frozen=True)
class Sketch:
    """One image of a data set to be: its size, split, and boxes as (class, corners, difficult)."""

    size: tuple[int, int]
    split: str | None
    boxes: list[tuple[str, tuple[float, float, float, float], bool]] | None


def class_names() -> st.SearchStrategy[list[str]]:
    name = st.text(CHARACTERS, min_size=1, max_size=8).map(str.strip).filter(lambda n: n and neu_class(n) is None)
    free = st.lists(name, min_size=1, max_size=3, unique=True)
    return st.one_of(free, st.lists(st.sampled_from(NEU_CLASSES), min_size=1, unique=True)).map(sorted)


@st.composite
def sides(draw: st.DrawFn, length: int) -> tuple[float, float]:
    if draw(st.booleans()):
        first = draw(st.integers(0, length - 1))
        return float(first), float(draw(st.integers(first + 1, length)))
    low = draw(st.floats(0, length - 0.5, width=32))
    return low, draw(st.floats(np.float32(low + 0.02).item(), length, width=32))


@st.composite
def sketches(draw: st.DrawFn, classes: list[str]) -> Sketch:
    width, height = draw(st.integers(1, 40)), draw(st.integers(1, 40))

    @st.composite
    def box(draw: st.DrawFn) -> tuple[str, tuple[float, float, float, float], bool]:
        (left, right), (top, bottom) = draw(sides(width)), draw(sides(height))
        return draw(st.sampled_from(classes)), (left, top, right, bottom), draw(st.booleans())

    split = draw(st.sampled_from([None, "train", "val", "test"]))
    return Sketch((width, height), split, draw(st.one_of(st.none(), st.lists(box(), max_size=3))))


@st.composite
def data_sets(draw: st.DrawFn) -> tuple[list[str], list[Sketch]]:
    classes = draw(class_names())
    images = draw(st.lists(sketches(classes), min_size=1, max_size=3))
    return classes, [*images, Sketch((9, 7), None, [])]


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def manifest_of(classes: list[str], images: list[Sketch], folder: Path) -> Manifest:
    (folder / "from").mkdir()
    records = []
    for number, image in enumerate(images):
        path = folder / "from" / f"Blech é {number}.png"
        PIL.Image.new("L", image.size, number).save(path)
        records.append(ImageRecord(path.name, path, split=image.split, boxes=boxes_of(image, classes)))
    return Manifest(tuple(records), tuple(classes), str(folder))


def boxes_of(image: Sketch, classes: list[str]) -> Boxes | None:
    if image.boxes is None:
        return None
    corners = np.array([box[1] for box in image.boxes], np.float32).reshape(-1, 4)
    ids, difficult = [classes.index(box[0]) for box in image.boxes], [box[2] for box in image.boxes]
    return Boxes(corners, np.array(ids, np.int64), difficult=np.array(difficult, np.bool_))


def same(before: Manifest, after: Manifest, tolerance: float) -> None:
    assert after.classes == before.classes
    again = {record.path.name: record for record in after.records}
    assert len(again) == len(before)
    for record in before.records:
        other = again[record.path.name]
        assert other.content_hash == record.content_hash
        assert other.split == record.split
        assert (other.boxes is None) == (record.boxes is None)
        if record.boxes is not None and other.boxes is not None:
            same_boxes(record.boxes, other.boxes, tolerance)


def same_boxes(before: Boxes, after: Boxes, tolerance: float) -> None:
    np.testing.assert_array_equal(after.class_id, before.class_id)
    np.testing.assert_array_equal(after.difficult, before.difficult)
    np.testing.assert_allclose(after.xyxy, before.xyxy, rtol=0, atol=tolerance)
    whole = before.xyxy == np.rint(before.xyxy)
    np.testing.assert_array_equal(after.xyxy[whole], before.xyxy[whole])


@pytest.mark.parametrize("first", LAYOUTS)
@pytest.mark.parametrize("second", LAYOUTS)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=data_sets())
def test_nothing_is_lost_from_layout_to_layout(
    first: str, second: str, folder: Path, data: tuple[list[str], list[Sketch]]
) -> None:
    for name in ("from", "first", "second"):
        shutil.rmtree(folder / name, ignore_errors=True)
    before = manifest_of(*data, folder)
    once = convert(before, folder / "first", first)
    twice = convert(once, folder / "second", second)
    tolerance = RELATIVE if "yolo" in (first, second) else EXACT
    same(before, twice, tolerance)
    assert not [problem for problem in twice.problems if problem.blocking]


def annotation_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in (".xml", ".json", ".txt", ".yaml"))


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_of_annotations_stops_the_reading_or_loses_an_image(
    layout: str, folder: Path, data: st.DataObject
) -> None:
    for name in ("from", "to"):
        shutil.rmtree(folder / name, ignore_errors=True)
    boxes = [("dent", (1.0, 2.0, 8.0, 7.0), True), ("a & b", (0.5, 2.0, 8.0, 7.0), False)]
    images = [Sketch((9, 7), split, boxes[:count]) for split, count in (("train", 2), ("val", 1), (None, 0))]
    before = convert(manifest_of(["a & b", "dent"], images, folder), folder / "to", layout)
    path = data.draw(st.sampled_from(annotation_files(folder / "to")))
    content = path.read_bytes()
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(content))] * 2)))
    inserted = data.draw(st.one_of(st.binary(max_size=4), st.sampled_from([b"<", b"[", b"nan", b"-1e999", b": *a"])))
    path.write_bytes(content[:start] + inserted + content[stop:])
    after = read(folder / "to", format=layout)
    assert after.ids == before.ids
    assert all(record.boxes is None or np.isfinite(record.boxes.xyxy).all() for record in after.records)
    assert all(problem.message and problem.fix and problem.path for problem in after.problems)
