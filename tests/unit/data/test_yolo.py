from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from millscale.data.manifest import Manifest
from millscale.data.read import read


def draw(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.full((50, 200), 90, np.uint8)).save(path)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def told(manifest: Manifest, root: Path) -> list[tuple[str, str, bool, str | None]]:
    """The problems of files; those of classes name no file."""
    files = [problem for problem in manifest.problems if "class" not in problem.code or "unknown" in problem.code]
    return [(p.code, str(Path(p.path).relative_to(root)), p.blocking, p.image) for p in files]


def corners(manifest: Manifest, index: int = 0) -> list[list[float]] | None:
    boxes = manifest.records[index].boxes
    return None if boxes is None else boxes.xyxy.tolist()


@pytest.mark.parametrize(
    "names", ["names: [dent, no]", "names:\n  0: dent\n  1: no", "nc: 2\nnames:\n- dent\n- 'no'\n"]
)
@pytest.mark.parametrize("layout", ["{split}/{kind}", "{kind}/{split}", "set/{kind}/{split}"])
def test_layouts_and_class_names(names: str, layout: str, tmp_path: Path) -> None:
    for split in ("train", "val"):
        draw(tmp_path / layout.format(split=split, kind="images") / "1.jpg")
        label = "1 0.5 0.5 0.5 0.2\n" if split == "val" else "0 .1 .5 .2 1\n"
        write(tmp_path / layout.format(split=split, kind="labels") / "1.txt", label)
    write(tmp_path / "data.yaml", names)
    manifest = read(tmp_path)
    assert manifest.classes == ("dent", "no")
    assert [(record.split, record.label) for record in manifest.records] == [("train", "dent"), ("val", "no")]
    assert corners(manifest, 0) == [[0, 0, 40, 50]]
    assert corners(manifest, 1) == [[50, 20, 150, 30]]


def test_six_digits_give_whole_pixels_back_and_fractions_stay(tmp_path: Path) -> None:
    draw(tmp_path / "images/1.jpg")
    whole = f"0 {(7 + 64) / 2 / 200:.6f} {(3 + 10) / 2 / 50:.6f} {57 / 200:.6f} {7 / 50:.6f}"
    write(tmp_path / "labels/1.txt", f"{whole}\n0 0.50123 0.5 0.25 0.5\n")
    write(tmp_path / "data.yaml", "names: [dent]")
    found = corners(read(tmp_path))
    assert found is not None
    assert found[0] == [7, 3, 64, 10]
    np.testing.assert_allclose(found[1], [75.246, 12.5, 125.246, 37.5], atol=1e-5)


def test_a_polygon_becomes_the_box_around_it(tmp_path: Path) -> None:
    draw(tmp_path / "images/1.jpg")
    write(tmp_path / "labels/1.txt", "0 0.1 0.2 0.5 0.2 0.5 0.6 0.3 0.9\n")
    write(tmp_path / "data.yaml", "names: [dent]")
    assert corners(read(tmp_path)) == [[20, 10, 100, 45]]


def test_an_empty_file_shows_nothing_and_a_missing_one_says_nothing(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        draw(tmp_path / f"images/{number}.jpg")
    write(tmp_path / "labels/1.txt", "0 .5 .5 .1 .1")
    write(tmp_path / "labels/2.txt", "\n")
    write(tmp_path / "labels/9.txt", "0 .5 .5 .1 .1")
    write(tmp_path / "labels/classes.txt", "dent\n")
    write(tmp_path / "data.yaml", "names: [dent]")
    manifest = read(tmp_path)
    assert [record.boxes is None or len(record.boxes) for record in manifest.records] == [1, 0, True]
    assert told(manifest, tmp_path)[:2] == [
        ("no_annotation", "images/3.jpg", False, None),
        ("no_image", "labels/9.txt", True, None),
    ]


@pytest.mark.parametrize(
    ("row", "code", "blocking", "kept"),
    [
        ("0 .5 .5 nan .1", "unreadable_annotation", True, None),
        ("0 .5 .5 inf .1", "unreadable_annotation", True, None),
        ("0 .5 .5 .1", "unreadable_annotation", True, None),
        ("0 .5 .5 .1 .1 .9", "unreadable_annotation", True, None),
        ("dent .5 .5 .1 .1", "unreadable_annotation", True, None),
        ("0.5 .5 .5 .1 .1", "unreadable_annotation", True, None),
        ("4 .5 .5 .1 .1", "unknown_class", True, []),
        ("0 .5 .5 -.1 .1", "box_inverted", True, []),
        ("0 .5 .5 0 .1", "box_empty", True, []),
        ("0 1.5 .5 .1 .1", "box_outside", True, []),
        ("0 1 .5 .1 1", "box_outside", False, [[190, 0, 200, 50]]),
    ],
)
def test_a_bad_row_is_told_with_its_line(
    row: str, code: str, blocking: bool, kept: list[list[float]] | None, tmp_path: Path
) -> None:
    draw(tmp_path / "images/1.jpg")
    write(tmp_path / "labels/1.txt", f"\n{row}\n")
    write(tmp_path / "data.yaml", "names: [dent]")
    manifest = read(tmp_path)
    assert told(manifest, tmp_path)[0] == (code, "labels/1.txt:2", blocking, "images/1.jpg")
    assert corners(manifest) == kept


@pytest.mark.parametrize(
    ("yaml", "place"),
    [
        ("names: [dent\nnc: 1", "data.yaml:2"),
        ("names: dent", "data.yaml"),
        ("names: {one: dent}", "data.yaml"),
        ("[" * 600, "data.yaml"),
        ("names: &a [*a]", "data.yaml:1"),
    ],
)
def test_a_bad_yaml_is_told_and_classes_are_called_by_their_numbers(yaml: str, place: str, tmp_path: Path) -> None:
    draw(tmp_path / "images/1.jpg")
    write(tmp_path / "labels/1.txt", "3 .5 .5 .1 .1")
    write(tmp_path / "data.yaml", yaml)
    manifest = read(tmp_path)
    assert told(manifest, tmp_path)[0] == ("unreadable_annotation", place, True, None)
    assert "no_class_names" in {problem.code for problem in manifest.problems}
    assert manifest.classes == ("3",)


def test_text_beside_the_images_needs_class_names(tmp_path: Path) -> None:
    draw(tmp_path / "1.jpg")
    write(tmp_path / "1.txt", "0 .5 .5 .1 .1")
    assert read(tmp_path).records[0].boxes is None
    write(tmp_path / "classes.txt", "dent\n")
    assert read(tmp_path).classes == ("dent",)


def test_a_damaged_list_of_difficult_objects_is_told(tmp_path: Path) -> None:
    draw(tmp_path / "images/1.jpg")
    write(tmp_path / "labels/1.txt", "0 .5 .5 .1 .1\n0 .6 .6 .1 .1\n")
    write(tmp_path / "data.yaml", "names: [dent]")
    write(tmp_path / "difficult.txt", "labels/1.txt:2\nlabels/1.txt\n")
    manifest = read(tmp_path)
    boxes = manifest.records[0].boxes
    assert boxes is not None
    assert boxes.difficult is not None
    assert boxes.difficult.tolist() == [False, True]
    assert told(manifest, tmp_path)[0] == ("unreadable_annotation", "difficult.txt:2", True, None)
