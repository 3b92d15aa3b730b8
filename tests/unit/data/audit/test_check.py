"""The audit on crops cut from known sheets: pairs, offsets, fractions, groups, leaks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from millscale.core.errors import DataError
from millscale.data.audit import check
from millscale.data.audit.mosaic import draw_groups
from millscale.data.audit.placement import laid_out
from millscale.data.leaks import leaks, read_parts
from millscale.data.manifest import ImageRecord, Manifest
from millscale.data.split import named_split

SIDE = 96


def sheet(seed: int, height: int = 260, width: int = 260) -> np.ndarray:
    """Smooth random texture with detail at several scales, uint8."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width))
    for cells, weight in ((120, 30), (60, 25), (12, 20)):
        coarse = PIL.Image.fromarray(rng.standard_normal((cells, cells)).astype(np.float32))
        total += weight * np.asarray(coarse.resize((width, height), PIL.Image.Resampling.BICUBIC))
    return np.clip(total + 128, 1, 254).astype(np.uint8)


def manifest(folder: Path, images: dict[str, np.ndarray], labels: dict[str, str] | None = None) -> Manifest:
    records = []
    for name, pixels in images.items():
        PIL.Image.fromarray(pixels).save(folder / name, quality=88)
        records.append(ImageRecord(name, folder / name, (labels or {}).get(name, "steel")))
    classes = tuple(sorted({record.label for record in records if record.label}))
    return Manifest(tuple(sorted(records, key=lambda r: r.id)), classes, str(folder))


def crop(parent: np.ndarray, x: int, y: int) -> np.ndarray:
    return parent[y : y + SIDE, x : x + SIDE]


def test_exact_overlap_has_its_offset_and_fraction(tmp_path: Path) -> None:
    parent = sheet(1)
    images = {"a.png": crop(parent, 10, 20), "b.png": crop(parent, 50, 5), "c.png": crop(sheet(2), 0, 0)}
    audit = check(manifest(tmp_path, images))
    assert [(o.a, o.b, o.dx, o.dy, o.exact) for o in audit.overlaps] == [("a.png", "b.png", 40, -15, True)]
    assert audit.overlaps[0].fraction == pytest.approx((96 - 40) * (96 - 15) / 96**2)
    assert audit.groups == {"a.png": "a.png", "b.png": "a.png", "c.png": "c.png"}


def test_images_of_different_size_share_a_fraction_of_the_smaller(tmp_path: Path) -> None:
    parent = sheet(3)
    audit = check(manifest(tmp_path, {"a.png": parent[:200, :180], "b.png": parent[100:160, 90:150]}))
    assert [(o.fraction, o.dx, o.dy) for o in audit.overlaps] == [(1.0, 90, 100)]


def test_jpeg_overlap_is_found_though_no_pixel_need_agree(tmp_path: Path) -> None:
    parent = sheet(4)
    audit = check(manifest(tmp_path, {"a.jpg": crop(parent, 3, 7), "b.jpg": crop(parent, 30, 17)}))
    assert [(o.dx, o.dy, o.exact) for o in audit.overlaps] == [(27, 10, False)]


def test_second_exposure_is_told_from_compression(tmp_path: Path) -> None:
    parent = sheet(5).astype(float)
    shading = np.linspace(0.6, 1.0, SIDE)[:, None]
    brighter = (crop(parent, 25, 12) * shading).astype(np.uint8)
    audit = check(manifest(tmp_path, {"a.png": crop(parent, 5, 5).astype(np.uint8), "b.png": brighter}))
    assert not audit.overlaps
    assert [(o.dx, o.dy) for o in audit.second_exposures] == [(20, 7)]
    assert len(set(audit.groups.values())) == 1


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_turned_copy_is_a_near_duplicate(tmp_path: Path, turns: int) -> None:
    image = crop(sheet(6), 0, 0)
    audit = check(manifest(tmp_path, {"a.png": image, "b.png": np.rot90(image, -turns)}))
    assert [(n.a, n.b, n.view) for n in audit.near_duplicates] == [("a.png", "b.png", f"rotated {90 * turns}")]
    assert len(set(audit.groups.values())) == 1


def test_duplicate_by_pixels_across_file_formats(tmp_path: Path) -> None:
    image = crop(sheet(7), 0, 0)
    colour = np.repeat(image[..., None], 3, 2)
    audit = check(manifest(tmp_path, {"a.bmp": image, "b.png": colour, "c.png": crop(sheet(7), 30, 0)}))
    assert audit.exact_duplicates == (("a.bmp", "b.png"),)
    assert {(o.a, o.b) for o in audit.overlaps} == {
        ("a.bmp", "b.png"),
        ("a.bmp", "c.png"),
        ("b.png", "c.png"),
    }


def test_caption_on_one_crop_does_not_hide_the_overlap(tmp_path: Path) -> None:
    parent = sheet(8)
    captioned = crop(parent, 20, 0).copy()
    captioned[-15:] = 255
    audit = check(manifest(tmp_path, {"a.png": crop(parent, 0, 0), "b.png": captioned}))
    assert [(o.dx, o.dy, o.exact) for o in audit.overlaps] == [(20, 0, False)]


def test_common_logo_is_not_an_overlap(tmp_path: Path) -> None:
    logo = sheet(9)[:20, :30]
    images = {}
    for i in range(4):
        image = crop(sheet(20 + i), 0, 0).copy()
        image[5:25, 5:35] = logo
        images[f"{i}.png"] = image
    audit = check(manifest(tmp_path, images))
    assert len(set(audit.groups.values())) == 4


def test_label_contradicted_by_shared_pixels(tmp_path: Path) -> None:
    parent = sheet(10)
    images = {"a.png": crop(parent, 0, 0), "b.png": crop(parent, 30, 30)}
    audit = check(manifest(tmp_path, images, {"a.png": "scratch", "b.png": "pit"}))
    assert [(s.image, s.label, s.suggestion, s.other) for s in audit.suspect_labels] == [
        ("a.png", "scratch", "pit", "b.png"),
        ("b.png", "pit", "scratch", "a.png"),
    ]


def test_unreadable_file_is_named_and_the_rest_is_audited(tmp_path: Path) -> None:
    parent = sheet(11)
    data = manifest(tmp_path, {n: crop(parent, x, 0) for n, x in (("a.png", 0), ("b.png", 9), ("c.png", 20))})
    (tmp_path / "b.png").write_bytes(b"")
    audit = check(data)
    assert audit.unreadable == ("b.png",)
    assert [p.path for p in audit.problems if p.code == "unreadable_image"] == ["b.png"]
    assert [(o.a, o.b) for o in audit.overlaps] == [("a.png", "c.png")]


def test_images_that_show_nothing_are_named(tmp_path: Path) -> None:
    grain = np.random.default_rng(0).normal(120, 4, (SIDE, SIDE)).astype(np.uint8)
    black = np.zeros((SIDE, SIDE), np.uint8)
    images = {
        "a.png": crop(sheet(11), 0, 0),
        "b.png": black,
        "c.png": grain,
        "d.png": black + np.uint8(70),
        "e.png": black,
    }
    problems = [p for p in check(manifest(tmp_path, images)).problems if p.code == "blank_image"]
    assert [(p.path, p.message.split(" (")[0], p.blocking) for p in problems] == [
        ("b.png", "a fault of the imaging: black frame", False),
        ("c.png", "a fault of the imaging: blank frame with noise", False),
        ("d.png", "a fault of the imaging: blank frame", False),
        ("e.png", "a fault of the imaging: black frame", False),
    ]


def test_classes_that_cannot_be_split_are_problems(tmp_path: Path) -> None:
    parent = sheet(12)
    images = {"a.png": crop(parent, 0, 0), "b.png": crop(parent, 30, 30), "c.png": crop(sheet(13), 0, 0)}
    data = manifest(tmp_path, images, {"a.png": "one group", "b.png": "one group", "c.png": "single"})
    data = Manifest(data.records, ("empty", "one group", "single"), data.source)
    codes = {(p.code, p.path) for p in check(data).problems}
    assert codes == {
        ("empty_class", "empty"),
        ("single_group_class", "one group"),
        ("single_image_class", "single"),
    }


def test_json_has_the_published_keys(tmp_path: Path) -> None:
    parent = sheet(14)
    found = check(manifest(tmp_path, {"a.png": crop(parent, 0, 0), "b.png": crop(parent, 48, 0)})).to_json()
    assert found["overlaps"] == [["a.png", "b.png", 0.5]]
    assert (found["images"], found["classes"], found["groups"]) == (2, {"steel": 2}, 1)
    assert found["group_of"] == {"a.png": "a.png", "b.png": "a.png"}
    assert found["largest_groups"] == [{"group": "a.png", "images": 2}]
    assert {"unreadable", "exact_duplicates", "near_duplicates", "suspect_labels", "problems"} <= found.keys()


def test_leak_of_a_split_given_as_text_files(tmp_path: Path) -> None:
    parent = sheet(15)
    images = {"a.png": crop(parent, 0, 0), "b.png": crop(parent, 30, 30), "c.png": crop(sheet(16), 0, 0)}
    data = manifest(tmp_path, images)
    (tmp_path / "train.txt").write_text("a\n", encoding="utf-8")
    (tmp_path / "val.txt").write_text("b\nc.png\n", encoding="utf-8")
    parts = read_parts({"train": tmp_path / "train.txt", "val": tmp_path / "val.txt"}, data)
    (leak,) = leaks(parts, check(data))
    assert (leak.part, leak.images, leak.leaking, leak.fraction) == ("val", 2, 1, 0.5)
    assert [(p.held_out, p.train) for p in leak.pairs] == [("b.png", "a.png")]


@pytest.mark.parametrize("held_out", ["b.png", "c.png"])
def test_each_of_several_exact_copies_leaks_into_the_others(tmp_path: Path, held_out: str) -> None:
    parent = sheet(19)
    copies = dict.fromkeys(("a.png", "b.png", "c.png"), crop(parent, 0, 0))
    data = manifest(tmp_path, {**copies, "d.png": crop(parent, 30, 30), "e.png": crop(sheet(20), 0, 0)})
    audit = check(data)
    other = "bc".replace(held_out[0], "") + ".png"
    (leak,) = leaks({"train": [other], "test": [held_out, "d.png", "e.png"]}, audit)
    assert [(p.held_out, p.train) for p in leak.pairs] == [(held_out, other), ("d.png", other)]
    (leak,) = leaks({"train": ["e.png"], "test": ["a.png", "b.png", "c.png", "d.png"]}, audit)
    assert leak.pairs == ()


def test_a_split_of_another_data_set_is_refused(tmp_path: Path) -> None:
    data = manifest(tmp_path, {"a.png": crop(sheet(21), 0, 0), "b.png": crop(sheet(22), 0, 0)})
    file = tmp_path / "split.json"
    named_split(data, {"train": ["a.png"], "test": ["b.png"]}, {"a.png": "a", "b.png": "b"}).save(file)
    assert read_parts(file, data).test == ("b.png",)
    with pytest.raises(
        DataError, match=r"split\.json: expected images of .*, found 1 that are not there, 'b\.png' first"
    ):
        read_parts(file, data.select(["a.png"]))


def test_split_file_with_an_unknown_name_is_refused(tmp_path: Path) -> None:
    data = manifest(tmp_path, {"a.png": crop(sheet(17), 0, 0)})
    (tmp_path / "val.txt").write_text("nobody\n", encoding="utf-8")
    with pytest.raises(DataError, match="'nobody', no such image"):
        read_parts({"val": tmp_path / "val.txt"}, data)


def test_mosaic_places_crops_where_they_were_cut(tmp_path: Path) -> None:
    parent = sheet(18)
    images = {n: crop(parent, x, y) for n, x, y in (("a.png", 0, 0), ("b.png", 60, 10), ("c.png", 120, 30))}
    data = manifest(tmp_path, images)
    audit = check(data)
    (places,) = laid_out(data.ids, audit.overlaps)
    x, y = places["a.png"]
    assert {n: (p[0] - x, p[1] - y) for n, p in places.items()} == {
        "a.png": (0, 0),
        "b.png": (60, 10),
        "c.png": (120, 30),
    }
    drawn = np.asarray(draw_groups(data, audit))
    assert drawn.std() > 10


def test_the_mosaic_does_without_images_that_cannot_be_read(tmp_path: Path) -> None:
    data = manifest(tmp_path, {name: crop(sheet(23), x, 0) for name, x in (("a.png", 0), ("b.png", 48), ("c.png", 60))})
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    data = Manifest(tuple(replace(record, group="coil") for record in data.records), data.classes, data.source)
    audit = check(data)
    assert audit.unreadable == ("a.png",)
    assert np.asarray(draw_groups(data, audit)).std() > 10


def test_images_of_a_few_pixels_are_audited_too(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (6, 6), np.uint8)
    for name, added in (("a", 0), ("b", 1)):
        PIL.Image.fromarray(pixels // 2 + added).save(tmp_path / f"{name}.png")
    records = tuple(ImageRecord(name, tmp_path / name) for name in ("a.png", "b.png"))
    assert check(Manifest(records, (), str(tmp_path))).images == 2
