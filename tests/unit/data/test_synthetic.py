import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from millscale.core.errors import DataError, UsageError
from millscale.data.synthetic import (
    CLASSES,
    KINDS,
    Crop,
    Truth,
    draw_samples,
    iter_cuts,
    make_dataset,
    read_truth,
    render_image,
    render_sheet,
    render_texture,
    true_overlaps,
)
from millscale.data.synthetic.boxes import boxes_of
from millscale.data.synthetic.fields import Stroke, clouds, draw, ellipse, grain, ramp, soften

SMALL = {"per_class": 3, "size": 64}


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_the_class_names_are_those_of_neu():
    assert CLASSES == (
        "crazing",
        "inclusion",
        "patches",
        "pitted_surface",
        "rolled-in_scale",
        "scratches",
    )


# fields


def test_soften_spreads_a_point_by_its_weights():
    point = np.zeros((3, 3), np.float32)
    point[1, 1] = 1
    row = np.array([0.1, 0.8, 0.1])
    np.testing.assert_allclose(soften(point, 0.1), np.outer(row, row), atol=1e-7)
    assert point.sum() == 1, "the argument was changed"


def test_soften_leaves_a_flat_field_alone():
    np.testing.assert_allclose(soften(np.full((4, 5), 7, np.float32), 0.2), 7, rtol=1e-6)


def test_ramp_rises_linearly_between_its_ends():
    np.testing.assert_allclose(ramp(np.array([0, 1, 1.5, 2, 9], np.float32), 1, 1), [0, 0, 0.5, 1, 1])


def test_grain_is_longer_along_its_axis():
    field = grain(np.random.default_rng(0), (128, 128), 0.7, 8.0)
    across, along = (np.abs(np.diff(field, axis=axis)).mean() for axis in (0, 1))
    assert across > 4 * along
    upright = grain(np.random.default_rng(0), (128, 128), 0.7, 8.0, np.pi / 2)
    across, along = (np.abs(np.diff(upright, axis=axis)).mean() for axis in (1, 0))
    assert across > 4 * along


def test_grain_has_mean_0_and_deviation_1():
    field = grain(np.random.default_rng(3), (90, 70), 2.0, 1.0)
    assert abs(field.mean()) < 1e-5
    assert abs(field.std() - 1) < 1e-4


def test_clouds_change_slowly():
    field = clouds(np.random.default_rng(0), (100, 120), 30, 30)
    assert field.shape == (100, 120)
    assert np.abs(np.diff(field, axis=0)).max() < 0.35


def test_draw_puts_each_form_where_it_belongs():
    line = Stroke(np.array([[2.0, 3.0], [6.0, 3.0]]), 1.0)
    square = Stroke(np.array([[10.0, 10], [12, 10], [12, 12], [10, 12]]), 1.0, form="polygon")
    spot = ellipse(20, 5, 1, 1, 1.0)
    expected = np.zeros((16, 24), np.float32)
    expected[3, 2:7] = 1
    expected[10:13, 10:13] = 1
    drawn = draw((16, 24), [line, square, spot], 0)
    np.testing.assert_array_equal(drawn[:, :16], expected[:, :16])
    ys, xs = np.nonzero(drawn[:, 16:])
    assert (ys.min(), ys.max(), xs.min() + 16, xs.max() + 16) == (4, 6, 19, 21)


# boxes

BOX_TABLE = [
    ("nothing", [], [], 8),
    ("one block", [(2, 3, 10, 9)], [(2, 3, 10, 9)], 8),
    ("two far blocks", [(0, 0, 5, 5), (30, 30, 36, 35)], [(0, 0, 5, 5), (30, 30, 36, 35)], 8),
    ("two near blocks make one", [(0, 0, 5, 5), (9, 0, 14, 5)], [(0, 0, 14, 5)], 8),
    ("a coarse join makes one", [(0, 0, 5, 5), (30, 30, 36, 35)], [(0, 0, 36, 35)], 20),
    ("touching at a corner", [(0, 0, 8, 8), (8, 8, 16, 16)], [(0, 0, 16, 16)], 8),
    ("a speck gets none", [(0, 0, 3, 3), (20, 20, 26, 26)], [(20, 20, 26, 26)], 8),
]


@pytest.mark.parametrize(("blocks", "expected", "join"), [row[1:] for row in BOX_TABLE], ids=[r[0] for r in BOX_TABLE])
def test_boxes_of(blocks, expected, join):
    mask = np.zeros((40, 40), dtype=bool)
    for left, top, right, bottom in blocks:
        mask[top:bottom, left:right] = True
    boxes = boxes_of(mask, 4, join)
    assert [tuple(box) for box in boxes.xyxy.tolist()] == expected
    assert boxes.class_id.tolist() == [4] * len(expected)


# sheets


@pytest.mark.parametrize("kind", KINDS)
def test_a_sheet_is_grey_8_bit_of_the_asked_shape(kind):
    sheet = render_sheet(kind, (96, 130), 5)
    assert (sheet.image.dtype, sheet.image.shape) == (np.uint8, (96, 130))
    assert (sheet.mask.dtype, sheet.mask.shape) == (np.bool_, (96, 130))
    assert sheet.image.std() > 2, "a surface without texture"


@pytest.mark.parametrize("kind", CLASSES)
def test_boxes_hold_nearly_the_whole_mask(kind):
    for seed in range(5):
        sheet = render_sheet(kind, 200, seed)
        inside = np.zeros_like(sheet.mask)
        for left, top, right, bottom in sheet.boxes.xyxy.astype(int):
            inside[top:bottom, left:right] = True
        assert sheet.mask[inside].sum() >= 0.95 * sheet.mask.sum() > 0
        assert set(sheet.boxes.class_id.tolist()) == {CLASSES.index(kind)}


def contrast_at_the_mask(kind: str) -> float:
    """How much brighter the masked pixels are than those round them, grey levels; mean over seeds."""
    found = []
    for seed in range(12):
        sheet = render_sheet(kind, 200, seed)
        image = sheet.image.astype(float)
        if sheet.mask.any() and not sheet.mask.all():
            found.append(image[sheet.mask].mean() - image[~sheet.mask].mean())
    return float(np.mean(found))


@pytest.mark.parametrize(
    ("kind", "darker"),
    [
        ("crazing", True),
        ("inclusion", True),
        ("patches", True),
        ("pitted_surface", True),
        ("rolled-in_scale", True),
        ("scratches", False),
    ],
)
def test_the_mask_lies_on_the_defect(kind, darker):
    contrast = contrast_at_the_mask(kind)
    assert contrast < -5 if darker else contrast > 5


def test_inclusions_are_drawn_out_along_the_strip():
    shapes = np.concatenate([render_sheet("inclusion", 200, s).boxes.xyxy for s in range(8)])
    width, height = (np.median(shapes[:, k + 2] - shapes[:, k]) for k in (0, 1))
    assert height > 1.5 * width


def test_a_good_surface_has_no_defect():
    sheet = render_sheet(None, 80, 1)
    assert not sheet.mask.any()
    assert len(sheet.boxes) == 0
    np.testing.assert_array_equal(sheet.image, render_image("good", 1, 80))


def test_a_crop_is_a_piece_of_its_sheet():
    sheet = render_sheet("patches", 160, 2)
    crop = sheet.crop(30, 50, 64)
    np.testing.assert_array_equal(crop.image, sheet.image[50:114, 30:94])
    np.testing.assert_array_equal(crop.mask, sheet.mask[50:114, 30:94])
    assert len(crop.boxes) > 0
    assert crop.boxes.xyxy.min() >= 0
    assert crop.boxes.xyxy.max() <= 64


@pytest.mark.parametrize(("x", "y"), [(-1, 0), (0, -1), (17, 0), (0, 33)])
def test_a_crop_off_its_sheet_is_refused(x, y):
    sheet = render_sheet("good", (96, 80), 2)
    assert sheet.crop(16, 32, 64).image.shape == (64, 64)
    with pytest.raises(UsageError, match="within 80 × 96"):
        sheet.crop(x, y, 64)


def test_kinds_seeded_alike_differ():
    images = {render_image(kind, 7, 64).tobytes() for kind in CLASSES}
    assert len(images) == len(CLASSES)


def test_an_unknown_kind_names_the_nearest():
    with pytest.raises(UsageError, match="Did you mean 'scratches'"):
        render_image("scratchs", 0)


def test_a_tiny_surface_is_refused():
    with pytest.raises(UsageError, match="at least 32 pixels"):
        render_image("crazing", 0, 31)


# textures


def test_textures_differ_widely():
    textures = np.stack([render_texture(seed, 64) for seed in range(60)]).astype(float)
    brightness, contrast = textures.mean((1, 2)), textures.std((1, 2))
    assert np.ptp(brightness) > 100
    assert contrast.max() > 5 * contrast.min()
    assert len({texture.tobytes() for texture in textures}) == 60


def test_a_texture_is_grey_8_bit_of_the_asked_size():
    for seed in range(10):
        texture = render_texture(seed, 72)
        assert (texture.dtype, texture.shape) == (np.uint8, (72, 72))


# truth


def test_true_overlaps_of_a_drawn_case():
    crops = (
        Crop("c", "s1", 60, 0, ()),
        Crop("a", "s1", 0, 0, ()),
        Crop("b", "s1", 50, 50, ()),
        Crop("d", "s1", 160, 0, ()),
        Crop("e", "s2", 0, 0, ()),
    )
    truth = Truth(100, 0, ("x",), crops)
    assert true_overlaps(truth) == [("a", "b", 0.25), ("a", "c", 0.4), ("b", "c", 0.45)]


@pytest.mark.parametrize(
    "content", [None, "", "{}", "[]", '{"size": 1, "seed": 0, "classes": [], "crops": [{"id": 1}]}']
)
def test_a_file_that_is_no_truth_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "truth.json").write_text(content)
    with pytest.raises(DataError, match="expected the truth of a synthetic data set"):
        read_truth(tmp_path)


# data sets


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("synthetic")
    return out, make_dataset(out, per_class=6, size=96, crops_per_sheet=(2, 3), seed=4)


def test_the_image_folder_holds_class_folders_and_nothing_else(made):
    out, manifest = made
    found = sorted(path.relative_to(out / "images").as_posix() for path in (out / "images").rglob("*.*"))
    assert found == list(manifest.ids)
    assert sorted(path.name for path in (out / "images").iterdir()) == list(CLASSES)
    assert manifest.ids[0] == "crazing/crazing_00001.bmp"
    assert manifest.class_counts == dict.fromkeys(CLASSES, 6)


def test_images_of_a_sheet_share_the_pixels_that_the_truth_says(made):
    out, _ = made
    truth = read_truth(out)
    place = {crop.id: crop for crop in truth.crops}
    overlaps = true_overlaps(truth)
    assert len(overlaps) >= 12
    for a, b, fraction in overlaps:
        left, top = (max(getattr(place[a], axis), getattr(place[b], axis)) for axis in "xy")
        right, bottom = (min(getattr(place[a], axis), getattr(place[b], axis)) + 96 for axis in "xy")
        first, second = (
            pixels(out / "images" / i)[top - place[i].y : bottom - place[i].y, left - place[i].x : right - place[i].x]
            for i in (a, b)
        )
        np.testing.assert_array_equal(first, second)
        assert first.size / 96**2 == fraction


def test_records_agree_with_the_truth_file(made):
    out, manifest = made
    crops = {crop.id: crop for crop in read_truth(out).crops}
    for record in manifest.records:
        assert record.group == crops[record.id].sheet
        assert [tuple(box) for box in record.boxes.xyxy.tolist()] == list(crops[record.id].boxes)
        assert set(record.boxes.class_id.tolist()) <= {manifest.classes.index(record.label)}


def test_masks_are_0_and_255_and_every_image_shows_its_defect(made):
    _, manifest = made
    for record in manifest.records:
        mask = pixels(record.mask)
        assert mask.shape == (96, 96)
        assert set(np.unique(mask)) <= {0, 255}
        assert (mask == 255).any(), record.id


def test_no_two_images_of_a_sheet_are_the_same_place(made):
    out, _ = made
    places = [(crop.sheet, crop.x, crop.y) for crop in read_truth(out).crops]
    assert len(set(places)) == len(places)


def test_an_image_does_not_depend_on_how_many_are_asked_for(tmp_path):
    few = make_dataset(tmp_path / "few", per_class=2, size=64, kinds=["patches"])
    many = make_dataset(tmp_path / "many", per_class=5, size=64, kinds=["patches", "crazing"])
    same = {record.id: record.content_hash for record in many.records}
    assert all(record.content_hash == same[record.id] for record in few.records)


def test_equal_seeds_give_equal_data_sets_and_others_do_not(tmp_path):
    first, again, other = (
        make_dataset(tmp_path / name, **SMALL, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert (tmp_path / "a/truth.json").read_bytes() == (tmp_path / "b/truth.json").read_bytes()


def test_good_strip_has_a_folder_but_neither_mask_nor_boxes(tmp_path):
    manifest = make_dataset(str(tmp_path), **SMALL, kinds=["good", "scratches"], image_format="png")
    assert manifest.class_counts == {"good": 3, "scratches": 3}
    good = manifest.records[0]
    assert (good.label, good.mask, good.boxes) == ("good", None, None)
    assert not (tmp_path / "masks/good").exists()
    boxes = manifest.records[-1].boxes
    assert set(boxes.class_id.tolist()) == {1}


def test_one_crop_a_sheet_gives_independent_images(tmp_path):
    manifest = make_dataset(tmp_path, **SMALL, crops_per_sheet=(1, 1))
    assert true_overlaps(read_truth(tmp_path)) == []
    assert len({record.group for record in manifest.records}) == len(manifest)


def test_progress_counts_to_the_end(tmp_path):
    calls = []
    make_dataset(tmp_path, **SMALL, kinds=["crazing"], progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_the_same_call_completes_an_unfinished_data_set(tmp_path):
    whole = make_dataset(tmp_path, **SMALL, kinds=["crazing"])
    before = whole.fingerprint
    (tmp_path / "images/crazing/crazing_00002.bmp").unlink()
    (tmp_path / "truth.json").unlink()
    assert make_dataset(tmp_path, **SMALL, kinds=["crazing"]).fingerprint == before
    assert len(read_truth(tmp_path).crops) == 3


def test_files_of_another_data_set_are_not_mixed_in(tmp_path):
    make_dataset(tmp_path, per_class=4, size=64, kinds=["crazing"])
    with pytest.raises(UsageError, match=r"found 1 others \('crazing/crazing_00004.bmp' first\)"):
        make_dataset(tmp_path, per_class=3, size=64, kinds=["crazing"])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"per_class": 0}, "per_class: expected 1 or more, found 0"),
        ({"size": 16}, "size: expected 32 pixels or more, found 16"),
        ({"crops_per_sheet": (3, 2)}, r"expected 1 ≤ fewest ≤ most, found \(3, 2\)"),
        ({"seed": -1}, "seed: expected 0 or more, found -1"),
        ({"kinds": []}, r"found \[\]"),
        ({"kinds": ["crazing", "crazing"]}, "distinct names"),
        ({"kinds": ["rust"]}, r"found \['rust'\]"),
    ],
)
def test_impossible_requests_are_refused_before_anything_is_written(tmp_path, wrong, says):
    with pytest.raises(UsageError, match=says):
        make_dataset(tmp_path / "out", **{**SMALL, **wrong})
    assert not (tmp_path / "out").exists()


def test_cuts_go_on_past_one_sheet():
    cuts = iter_cuts("crazing", size=64, crops_per_sheet=(2, 2))
    assert [next(cuts).sheet for _ in range(5)] == ["crazing-00001"] * 2 + ["crazing-00002"] * 2 + ["crazing-00003"]


def test_the_truth_file_is_plain_json(made):
    out, _ = made
    entry = json.loads((out / "truth.json").read_text())["crops"][0]
    assert sorted(entry) == ["boxes", "id", "sheet", "x", "y"]


# contact sheet


def test_samples_show_each_kind_in_its_row():
    page = np.asarray(draw_samples(columns=2, size=64, seed=3))
    assert page.shape == (6 * 68, 130 + 2 * 68)
    for row, kind in enumerate(CLASSES):
        for column in range(2):
            left, top = 130 + 68 * column, 68 * row
            shown = page[top : top + 64, left : left + 64]
            np.testing.assert_array_equal(shown, render_image(kind, (3, column), 64))
        assert (page[68 * row : 68 * row + 64, :130] < 128).any(), "no label"
