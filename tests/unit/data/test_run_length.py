from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from millscale.data.formats._drawn import AnnotationError
from millscale.data.formats.run_length import decode_runs
from millscale.data.manifest import Manifest
from millscale.data.read import read


def draw(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.full((4, 6), 90, np.uint8)).save(path)


def severstal(root: Path, text: str) -> None:
    """Images of 6 x 4 pixels: pixel 1 is the upper left, 4 the lower left, 5 the top of the second column."""
    for name in ("train_images/a.jpg", "train_images/b.jpg", "train_images/c.jpg", "test_images/d.jpg"):
        draw(root / name)
    (root / "train.csv").write_text(text)
    (root / "sample_submission.csv").write_text("ImageId_ClassId,EncodedPixels\nd.jpg_1,1 409600\n")


def boxes(manifest: Manifest) -> dict[str, list[tuple[str, list[float]]] | None]:
    return {
        record.path.name: None
        if record.boxes is None
        else [
            (manifest.classes[i], box) for i, box in zip(record.boxes.class_id, record.boxes.xyxy.tolist(), strict=True)
        ]
        for record in manifest.records
    }


APART = "ImageId,ClassId,EncodedPixels\na.jpg,1,5 2 9 2\na.jpg,3,1 1 24 1\nb.jpg,3,1 24\n"
TOGETHER = (
    "ImageId_ClassId,EncodedPixels\na.jpg_1,5 2 9 2\na.jpg_2,\na.jpg_3,1 1 24 1\n"
    "b.jpg_1,\nb.jpg_3,1 24\nc.jpg_1,\nc.jpg_2,\n"
)


@pytest.mark.parametrize("text", [APART, TOGETHER])
def test_runs_go_down_the_columns(text: str, tmp_path: Path) -> None:
    severstal(tmp_path, text)
    manifest = read(tmp_path)
    assert boxes(manifest) == {
        "a.jpg": [("1", [1, 0, 3, 2]), ("3", [0, 0, 1, 1]), ("3", [5, 3, 6, 4])],
        "b.jpg": [("3", [0, 0, 6, 4])],
        "c.jpg": [],
        "d.jpg": None,
    }
    found = {problem.code for problem in manifest.problems}
    assert ("no_rows" in found) == (text == APART)
    assert "no_annotation" in found


@pytest.mark.parametrize(
    ("row", "code", "image"),
    [
        ("a.jpg,1,0 4", "unreadable_annotation", "train_images/a.jpg"),
        ("a.jpg,1,24 2", "unreadable_annotation", "train_images/a.jpg"),
        ("a.jpg,1,3 0", "unreadable_annotation", "train_images/a.jpg"),
        ("a.jpg,1,3", "unreadable_annotation", "train_images/a.jpg"),
        ("a.jpg,1,3 x", "unreadable_annotation", "train_images/a.jpg"),
        ("a.jpg,1,9223372036854775807 9223372036854775807", "unreadable_annotation", "train_images/a.jpg"),
        ("a.jpg,1,99999999999999999999 1", "unreadable_annotation", "train_images/a.jpg"),
        ("a.jpg,1", "unreadable_annotation", "train_images/a.jpg"),
        ("a.jpg,1,5 2,9 2", "unreadable_annotation", "train_images/a.jpg"),
        ("a.jpg,,1 4", "unreadable_annotation", "train_images/a.jpg"),
        ("y.jpg", "unreadable_annotation", None),
        (",1,1 4", "unreadable_annotation", None),
        ("z.jpg,1,1 1", "no_image", None),
    ],
)
def test_a_bad_row_is_told_with_its_line(row: str, code: str, image: str | None, tmp_path: Path) -> None:
    severstal(tmp_path, f"{APART}{row}\n")
    manifest = read(tmp_path)
    bad = [(p.code, Path(p.path).name, p.image) for p in manifest.problems if p.blocking]
    assert bad == [(code, "train.csv:5", image)]
    assert (boxes(manifest)["a.jpg"] is None) == (image is not None)
    assert boxes(manifest)["b.jpg"] == [("3", [0, 0, 6, 4])]
    assert boxes(manifest)["c.jpg"] == (None if (code, image) == ("unreadable_annotation", None) else [])
    assert manifest.classes == ("1", "3")


@pytest.mark.parametrize("row", ["c.jpg,,", "c.jpg,1,", "c.jpg,,-1", ""])
def test_a_row_without_runs_says_that_the_image_is_clean(row: str, tmp_path: Path) -> None:
    severstal(tmp_path, f"{APART}{row}\n\n")
    manifest = read(tmp_path)
    assert boxes(manifest)["c.jpg"] == []
    assert (manifest.classes, manifest.records[-1].label) == (("1", "3"), None)
    assert not [problem for problem in manifest.problems if problem.blocking]


def test_a_row_without_a_class_beside_its_image_is_told(tmp_path: Path) -> None:
    severstal(tmp_path, TOGETHER.replace("b.jpg_3,", "b.jpg,"))
    manifest = read(tmp_path)
    assert [(p.code, p.image) for p in manifest.problems if p.blocking] == [("unreadable_annotation", None)]
    assert (boxes(manifest)["b.jpg"], manifest.classes) == ([], ("1", "2", "3"))


def test_a_value_may_be_long_and_quoted(tmp_path: Path) -> None:
    severstal(tmp_path, f'{APART}"c.jpg","3","{"1 24 " * 30_000}"\n')
    assert boxes(read(tmp_path))["c.jpg"] == [("3", [0, 0, 6, 4])]


def test_runs_against_a_loop() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        width, height = rng.integers(1, 9, 2).tolist()
        expected = rng.random((height, width)) < 0.5
        pixels = [number for number, on in enumerate(expected.T.ravel(), 1) if on]
        text = " ".join(f"{pixel} 1" for pixel in pixels)
        np.testing.assert_array_equal(decode_runs(text, (width, height)), expected)
    with pytest.raises(AnnotationError, match="here: expected pairs of a start"):
        decode_runs("5 1", (2, 2), "here")
