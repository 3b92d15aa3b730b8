import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from millscale.core.errors import DataError, UsageError
from millscale.data.manifest import Manifest
from millscale.data.read import read

NEU = ("crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches")


def draw(path: Path, value: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    form = {".jpg": "JPEG", ".png": "PNG"}.get(path.suffix.lower(), "BMP")
    PIL.Image.fromarray(np.full((8, 12), value, np.uint8)).save(path, form)
    return path


def draw_all(root: Path, names: list[str]) -> None:
    for i, name in enumerate(names):
        draw(root / name, value=i)


def labels(manifest: Manifest) -> dict[str, tuple[str | None, str | None]]:
    return {record.id: (record.label, record.split) for record in manifest.records}


def codes(manifest: Manifest) -> list[tuple[str, bool]]:
    return sorted((problem.code, problem.blocking) for problem in manifest.problems)


LAYOUTS: dict[str, tuple[list[str], dict[str, tuple[str | None, str | None]]]] = {
    "class folders": (
        ["good/a.bmp", "good/b.bmp", "surface scratch/a.png", "surface scratch/coil 7/b.png"],
        {
            "good/a.bmp": ("good", None),
            "good/b.bmp": ("good", None),
            "surface scratch/a.png": ("surface scratch", None),
            "surface scratch/coil 7/b.png": ("surface scratch", None),
        },
    ),
    "class folders in needless folders": (
        [
            "NEU-CLS/NEU-CLS/Cr/1.bmp",
            "NEU-CLS/NEU-CLS/Cr/2.bmp",
            "NEU-CLS/NEU-CLS/Sc/1.bmp",
            "NEU-CLS/NEU-CLS/Sc/2.bmp",
        ],
        {
            "Cr/1.bmp": ("crazing", None),
            "Cr/2.bmp": ("crazing", None),
            "Sc/1.bmp": ("scratches", None),
            "Sc/2.bmp": ("scratches", None),
        },
    ),
    "a single class": (
        ["good/a.bmp", "good/b.bmp"],
        {"good/a.bmp": ("good", None), "good/b.bmp": ("good", None)},
    ),
    "Kaggle splits": (
        [
            "NEU Metal Surface Defects Data/train/Crazing/Cr_1.bmp",
            "NEU Metal Surface Defects Data/train/Rolled/RS_1.bmp",
            "NEU Metal Surface Defects Data/valid/Crazing/Cr_2.bmp",
            "NEU Metal Surface Defects Data/test/Rolled/RS_2.bmp",
        ],
        {
            "test/Rolled/RS_2.bmp": ("rolled-in_scale", "test"),
            "train/Crazing/Cr_1.bmp": ("crazing", "train"),
            "train/Rolled/RS_1.bmp": ("rolled-in_scale", "train"),
            "valid/Crazing/Cr_2.bmp": ("crazing", "val"),
        },
    ),
    "splits with an images folder": (
        [
            "train/images/a/1.png",
            "train/images/a/2.png",
            "Validation/images/b/3.png",
            "Validation/images/b/4.png",
        ],
        {
            "Validation/images/b/3.png": ("b", "val"),
            "Validation/images/b/4.png": ("b", "val"),
            "train/images/a/1.png": ("a", "train"),
            "train/images/a/2.png": ("a", "train"),
        },
    ),
    "flat": (
        ["NEU/Cr_1.bmp", "NEU/Cr_2.bmp", "NEU/pitted_surface_1.jpg", "NEU/PS_2.bmp"],
        {
            "Cr_1.bmp": ("crazing", None),
            "Cr_2.bmp": ("crazing", None),
            "PS_2.bmp": ("pitted_surface", None),
            "pitted_surface_1.jpg": ("pitted_surface", None),
        },
    ),
    "flat splits": (
        ["train/Cr_1.bmp", "train/Cr_2.bmp", "val/Sc_1.bmp", "val/Sc_2.bmp"],
        {
            "train/Cr_1.bmp": ("crazing", "train"),
            "train/Cr_2.bmp": ("crazing", "train"),
            "val/Sc_1.bmp": ("scratches", "val"),
            "val/Sc_2.bmp": ("scratches", "val"),
        },
    ),
    "unlabelled": (["images/x.png", "images/y.png"], {"x.png": (None, None), "y.png": (None, None)}),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(name: str, tmp_path: Path) -> None:
    files, expected = LAYOUTS[name]
    draw_all(tmp_path, files)
    manifest = read(tmp_path)
    assert labels(manifest) == expected
    assert list(manifest.ids) == sorted(manifest.ids)
    assert manifest.problems == ()
    assert manifest.source == str(tmp_path)
    assert all(record.path.is_file() for record in manifest.records)


@pytest.mark.parametrize(
    "names", [["a", "b"], ["Cr_1", "Cr_2"], ["train/good/a", "test/crack/b"], ["good/a", "crack/b"]]
)
def test_a_mask_beside_its_image_is_no_image_in_any_layout(names: list[str], tmp_path: Path) -> None:
    for name in names:
        draw(tmp_path / f"{name}.jpg")
        draw(tmp_path / f"{name}.png", 255 if name.endswith(("crack/b", "_1")) else 0)
    manifest = read(tmp_path)
    assert [record.path.suffix for record in manifest.records] == [".jpg", ".jpg"]
    assert [record.mask and record.mask.stem for record in manifest.records] == [r.path.stem for r in manifest.records]


def test_six_folders_become_the_six_canonical_names(tmp_path: Path) -> None:
    draw_all(tmp_path, [f"{name}/{i}.bmp" for name in ("Cr", "In", "Pa", "PS", "RS", "Sc") for i in (1, 2)])
    manifest = read(tmp_path)
    assert manifest.classes == NEU
    assert manifest.class_counts == dict.fromkeys(NEU, 2)


def test_one_foreign_class_keeps_all_names_as_spelled(tmp_path: Path) -> None:
    draw_all(tmp_path, ["Cr/1.bmp", "Cr/2.bmp", "good/1.bmp", "good/2.bmp"])
    assert read(tmp_path).classes == ("Cr", "good")


def test_names_in_any_script_and_case(tmp_path: Path) -> None:
    draw_all(tmp_path, ["鋼板/ひび 1.BMP", "鋼板/ひび 2.Png", "Трещина/é à.JPG", "Трещина/b.JPEG"])
    manifest = read(tmp_path)
    assert manifest.class_counts == {"Трещина": 2, "鋼板": 2}
    assert "鋼板/ひび 1.BMP" in manifest.ids
    assert len(manifest.fingerprint) == 64


def test_clutter_of_operating_systems_is_passed_over_in_silence(tmp_path: Path) -> None:
    draw_all(tmp_path, ["a/1.bmp", "a/2.bmp", "b/1.bmp", "b/2.bmp", "__MACOSX/a/1.bmp", "a/._1.bmp"])
    for name in ("a/Thumbs.db", ".DS_Store", "b/desktop.ini"):
        (tmp_path / name).write_bytes(b"clutter")
    manifest = read(tmp_path)
    assert len(manifest) == 4
    assert manifest.problems == ()


def test_other_files_are_named_in_one_harmless_problem(tmp_path: Path) -> None:
    draw_all(tmp_path, ["a/1.bmp", "a/2.bmp", "b/1.bmp", "b/2.bmp"])
    (tmp_path / "notes").mkdir()
    for name in ("README.txt", "a/labels.xml", "notes/x.md"):
        (tmp_path / name).write_text("text")
    manifest = read(tmp_path)
    assert manifest.classes == ("a", "b")
    assert codes(manifest) == [("not_an_image", False)]
    assert "README.txt, a/labels.xml, notes/x.md" in manifest.problems[0].message


def test_one_corrupt_file_is_reported_and_the_rest_is_read(tmp_path: Path) -> None:
    draw_all(tmp_path, ["a/1.bmp", "a/2.bmp", "b/1.bmp", "b/2.bmp"])
    (tmp_path / "a/broken.bmp").write_bytes(b"BM and nothing more")
    (tmp_path / "b/empty.png").write_bytes(b"")
    (tmp_path / "b/dangling.bmp").symlink_to(tmp_path / "absent.bmp")
    manifest = read(tmp_path)
    assert len(manifest) == 4
    assert codes(manifest) == [("unreadable", True)] * 3
    assert {Path(problem.path).name for problem in manifest.problems} == {
        "broken.bmp",
        "empty.png",
        "dangling.bmp",
    }


def test_empty_class_is_kept_and_reported(tmp_path: Path) -> None:
    draw_all(tmp_path, ["a/1.bmp", "a/2.bmp"])
    (tmp_path / "b").mkdir()
    (tmp_path / "c").mkdir()
    (tmp_path / "c/Thumbs.db").write_bytes(b"clutter")
    (tmp_path / "d").mkdir()
    (tmp_path / "d/broken.bmp").write_bytes(b"BM")
    manifest = read(tmp_path)
    assert manifest.class_counts == {"a": 2, "b": 0, "c": 0, "d": 0}
    assert codes(manifest) == [("empty_class", False)] * 3 + [("unreadable", True)]


def test_empty_class_below_a_split(tmp_path: Path) -> None:
    draw_all(tmp_path, ["train/a/1.bmp", "train/a/2.bmp", "test/a/3.bmp"])
    (tmp_path / "train/b").mkdir()
    assert read(tmp_path).class_counts == {"a": 3, "b": 0}


def test_class_with_a_single_image_is_reported(tmp_path: Path) -> None:
    draw_all(tmp_path, ["a/1.bmp", "a/2.bmp", "b/1.bmp"])
    manifest = read(tmp_path)
    assert manifest.class_counts == {"a": 2, "b": 1}
    assert codes(manifest) == [("single_image_class", False)]


def test_equal_stems_are_both_read_and_reported(tmp_path: Path) -> None:
    draw_all(tmp_path, ["a/1.bmp", "a/1.png", "b/1.bmp", "b/2.bmp"])
    manifest = read(tmp_path)
    assert len(set(manifest.ids)) == 4
    assert codes(manifest) == [("same_name", False)]
    assert "a/1" in manifest.problems[0].message


def test_image_outside_every_class_is_left_out_and_reported(tmp_path: Path) -> None:
    draw_all(tmp_path, ["a/1.bmp", "a/2.bmp", "stray.bmp"])
    manifest = read(tmp_path)
    assert manifest.ids == ("a/1.bmp", "a/2.bmp")
    assert codes(manifest) == [("no_class", True)]


LINKS: list[Callable[[Path], None]] = [
    lambda root: (root / "a/loop").symlink_to(root / "a"),
    lambda root: (root / "loop").symlink_to(root),
    lambda root: (root / "a/up").symlink_to(root.parent),
    lambda root: (root / "0").symlink_to(root / "a"),
    lambda root: (root / "b/copy.bmp").symlink_to(root / "a/1.bmp"),
]


@pytest.mark.parametrize("link", LINKS)
def test_links_that_lead_back_are_reported_and_nothing_counts_twice(
    link: Callable[[Path], None], tmp_path: Path
) -> None:
    root = tmp_path / "data"
    draw_all(root, ["a/1.bmp", "a/2.bmp", "b/1.bmp", "b/2.bmp"])
    link(root)
    manifest = read(root)
    assert manifest.class_counts == {"a": 2, "b": 2}
    assert codes(manifest) == [("link", False)]


def test_link_to_a_folder_elsewhere_is_followed_once(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    draw_all(root, ["a/1.bmp", "a/2.bmp"])
    draw_all(elsewhere, ["1.bmp", "2.bmp"])
    (elsewhere / "back").symlink_to(elsewhere)
    (root / "b").symlink_to(elsewhere)
    (root / "c").symlink_to(elsewhere)
    manifest = read(root)
    assert manifest.class_counts == {"a": 2, "b": 2}
    assert codes(manifest) == [("link", False)] * 2


def test_a_linked_folder_of_which_a_part_is_read_already_is_told_as_lost(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    draw_all(root, ["a/1.bmp", "a/2.bmp"])
    draw_all(elsewhere, ["1.bmp", "part/2.bmp", "part/3.bmp"])
    (root / "b").symlink_to(elsewhere / "part")
    (root / "c").symlink_to(elsewhere)
    manifest = read(root)
    assert manifest.class_counts == {"a": 2, "b": 2}
    assert codes(manifest) == [("link", True)]


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX only")
def test_a_folder_whose_path_is_no_text_is_refused(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    draw_all(tmp_path / "x", ["a/1.bmp"])
    (tmp_path / "x").rename(folder)
    with pytest.raises(DataError, match="a folder whose path is text"):
        read(folder)


def test_a_link_that_leads_to_itself_is_unreadable(tmp_path: Path) -> None:
    draw_all(tmp_path, ["a/1.bmp", "a/2.bmp"])
    (tmp_path / "a/me.bmp").symlink_to(tmp_path / "a/me.bmp")
    assert codes(read(tmp_path)) == [("unreadable", True)]


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX only")
def test_name_that_is_no_text_is_reported(tmp_path: Path) -> None:
    draw_all(tmp_path, ["a/1.bmp", "a/2.bmp"])
    (tmp_path / "a/1.bmp").rename(os.fsdecode(os.fsencode(tmp_path) + b"/a/\xff.bmp"))
    manifest = read(tmp_path)
    assert manifest.ids == ("a/2.bmp",)
    assert ("unreadable", True) in codes(manifest)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_reported(tmp_path: Path) -> None:
    draw_all(tmp_path, ["a/1.bmp", "a/2.bmp", "a/3.bmp", "b/1.bmp"])
    (tmp_path / "a/1.bmp").chmod(0)
    (tmp_path / "b").chmod(0)
    manifest = read(tmp_path)
    (tmp_path / "b").chmod(0o700)
    assert manifest.ids == ("a/2.bmp", "a/3.bmp")
    assert codes(manifest).count(("unreadable", True)) == 2


def test_path_must_be_a_folder_with_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found nothing there"):
        read(tmp_path / "absent")
    with pytest.raises(DataError, match="found a file there"):
        read(draw(tmp_path / "one.bmp"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/notes.txt").write_text("text")
    with pytest.raises(DataError, match="found none in 0 folders and 1 other files"):
        read(tmp_path / "empty")


def test_no_layout_fits(tmp_path: Path) -> None:
    draw_all(tmp_path, ["a/1.bmp", "stray one.bmp", "stray two.bmp"])
    with pytest.raises(DataError, match=r"found 3 images such as a/1\.bmp.*class_folders: one folder a class"):
        read(tmp_path)


def test_format_can_be_named(tmp_path: Path) -> None:
    draw_all(tmp_path, ["ok_1.bmp", "ok_2.bmp", "ng_1.bmp", "ng_2.bmp"])
    assert read(tmp_path).classes == ()
    assert read(tmp_path, format="flat_prefix").class_counts == {"ng": 2, "ok": 2}
    assert read(tmp_path, format="flat-prefix").class_counts == {"ng": 2, "ok": 2}
    with pytest.raises(UsageError, match="Did you mean 'class_folders'"):
        read(tmp_path, format="class_folder")


def test_reading_decodes_no_pixels(tmp_path: Path) -> None:
    draw_all(tmp_path, ["a/1.png", "a/2.png"])
    whole = (tmp_path / "a/2.png").read_bytes()
    (tmp_path / "a/2.png").write_bytes(whole[: len(whole) - 20])
    assert len(read(tmp_path)) == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_no_image(tmp_path: Path) -> None:
    draw_all(tmp_path, ["a/1.bmp", "a/2.bmp"])
    os.mkfifo(tmp_path / "a/3.bmp")
    assert codes(read(tmp_path)) == [("not_an_image", False)]
