import csv
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from millscale.runtime.bundle import make_bundle

KEYS = {"image", "verdict", "label", "confidence", "score", "boxes", "reason", "milliseconds"}


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def pictures(steel, tmp_path):
    """Four pictures: a/1.bmp, a/2.BMP, "a/band 3 süd.bmp" and b.png, and a file that is none."""
    (tmp_path / "a").mkdir()
    for name, record in zip(("1.bmp", "2.BMP", "band 3 süd.bmp"), steel.records[::20], strict=False):
        shutil.copyfile(record.path, tmp_path / "a" / name)
    (tmp_path / "a" / "notes.txt").write_text("no picture")
    PIL.Image.new("L", (80, 50), 128).save(tmp_path / "b.png")
    return tmp_path


def test_each_image_is_one_json_line_with_the_promised_keys(millscale, trained, pictures):
    done = millscale("inspect", trained.bundle, pictures / "a", pictures / "b.png", "--json")
    assert done.code == 0
    found = lines(done.out)
    assert [line["image"] for line in found] == [
        str(pictures / name) for name in ("a/1.bmp", "a/2.BMP", "a/band 3 süd.bmp", "b.png")
    ]
    for line in found:
        assert set(line) >= KEYS
        assert line["verdict"] in ("reject", "review")  # no class here is good
        assert 0 <= line["confidence"] <= 1
        assert line["score"] == pytest.approx(1)
        assert line["boxes"] == []
        assert line["milliseconds"] > 0
    assert done.err == ""


def test_what_was_evaluated_is_what_is_inspected(millscale, trained, steel, tmp_path):
    done = millscale("evaluate", trained.bundle, steel.source, "--out", tmp_path, "--json")
    assert done.code == 0, done.err
    with (tmp_path / "predictions.csv").open(encoding="utf-8", newline="") as file:
        evaluated = {row["image"]: row for row in csv.DictReader(file)}
    inspected = lines(millscale("inspect", trained.bundle, steel.source, "--json").out)
    assert len(inspected) == len(evaluated) == 72
    for line in inspected:
        row = evaluated[line["image"].removeprefix(steel.source + "/")]
        assert line["label"] == row["prediction"]
        assert line["confidence"] == pytest.approx(float(row[row["prediction"]]), abs=1e-4)


def test_a_glob_names_its_matches(millscale, trained, pictures):
    done = millscale("inspect", trained.bundle, pictures / "**" / "*.bmp", "--json")
    assert [line["image"][-6:] for line in lines(done.out)] == ["/1.bmp", "üd.bmp"]


def test_people_get_a_table_and_a_count(millscale, trained, pictures):
    done = millscale("inspect", trained.bundle, pictures / "a")
    assert done.code == 0
    assert len(done.out.splitlines()) == 3
    assert all(line.split()[0] in ("reject", "review") for line in done.out.splitlines())
    assert sum(int(part.split()[0]) for part in done.err.strip().split(", ")) == 3


def test_fail_on_defect(millscale, trained, pictures):
    assert millscale("inspect", trained.bundle, pictures / "a", "--fail-on-defect", "--json").code == 1


def test_costs_of_the_call_decide(millscale, trained, pictures):
    def verdicts(*words):
        return {
            line["verdict"]
            for line in lines(millscale("inspect", trained.bundle, pictures / "a", "--json", *words).out)
        }

    assert verdicts("--cost", "review=0") == {"review"}
    assert verdicts("--cost", "review=1000") == {"reject"}
    assert verdicts("--cost", "escape=0", "--cost", "review=5", "--cost", "mislabel=9") == {"pass"}


def test_nothing_passed_no_defect_is_no_failure(millscale, trained, pictures):
    words = ["--cost", "escape=0", "--cost", "review=5", "--cost", "mislabel=9", "--fail-on-defect"]
    assert millscale("inspect", trained.bundle, pictures / "a", *words).code == 0


def test_a_damaged_image_is_told_and_the_others_are_inspected(millscale, trained, pictures):
    (pictures / "a" / "1.bmp").write_bytes(b"no picture")
    done = millscale("inspect", trained.bundle, pictures / "a", "--json", "--fail-on-defect")
    assert done.code == 3
    bad, *rest = lines(done.out)
    assert set(bad) == {"image", "error"}
    assert "expected a BMP, PNG, JPEG, TIFF or WebP image" in bad["error"]
    assert len(rest) == 2
    assert "1.bmp" in done.err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, ""),
        (["BUNDLE"], 2, "Expected images to inspect, found only a bundle"),
        (
            ["BUNDLE", "/nowhere/a.bmp"],
            3,
            "/nowhere/a.bmp: expected a file, a folder or a glob that matches, found nothing",
        ),
        (["BUNDLE", "/nowhere/*.bmp"], 3, "/nowhere/*.bmp: expected a file, a folder or a glob that matches"),
        (
            ["/nowhere/a.millscale", "x.bmp"],
            4,
            "Bundle /nowhere/a.millscale: expected a .millscale file, found none",
        ),
        (["BUNDLE", "IMAGE", "--cost", "escape"], 2, "Expected --cost KIND=COST, found 'escape'"),
        (
            ["BUNDLE", "IMAGE", "--cost", "escap=1"],
            2,
            "Expected KIND=COST with a kind of escape, overkill, mislabel, review",
        ),
        (["BUNDLE", "EMPTY"], 3, "empty: expected a folder with images, found none in it"),
    ],
)
def test_a_wrong_call_has_its_message_and_code(millscale, trained, pictures, words, code, message):
    (pictures / "empty").mkdir()
    places = {"BUNDLE": trained.bundle, "IMAGE": pictures / "b.png", "EMPTY": pictures / "empty"}
    done = millscale("inspect", *(places.get(word, word) for word in words))
    assert (done.code, done.out) == (code, "")
    assert message in done.err


def test_a_spoiled_bundle_inspects_nothing(millscale, trained, pictures):
    data = trained.bundle.read_bytes()
    spoiled = pictures / "spoiled.millscale"
    spoiled.write_bytes(data[: len(data) // 2] + b"x" + data[len(data) // 2 + 1 :])
    done = millscale("inspect", spoiled, pictures / "a")
    assert (done.code, done.out) == (4, "")
    assert "Copy the" in done.err


def test_an_image_outside_any_folder_may_be_of_any_size(millscale, trained, tmp_path):
    for side in ((1, 1), (700, 3)):
        PIL.Image.new("L", side, 99).save(tmp_path / f"{side[0]}.png")
    done = millscale("inspect", trained.bundle, tmp_path, "--json")
    assert done.code == 0
    assert len(lines(done.out)) == 2


def test_many_lines_are_valid_json_lines(millscale, trained, steel):
    done = millscale("inspect", trained.bundle, steel.source, "--json")
    assert len(io.StringIO(done.out).readlines()) == 72


def test_unknown_images_are_copied_and_listed(millscale, trained, pictures, tmp_path):
    checks = 40 + 160 * ((np.add.outer(np.arange(96) // 12, np.arange(96) // 12)) % 2)
    PIL.Image.fromarray(checks.astype(np.uint8)).save(pictures / "checks.png")
    (pictures / "more").mkdir()
    PIL.Image.fromarray(checks.T.astype(np.uint8)[:, 1:]).save(pictures / "more" / "checks.png")
    shown = [pictures / name for name in ("a", "checks.png", "more/checks.png")]
    done = millscale("inspect", trained.bundle, *shown, "--collect", tmp_path / "new", "--json")
    assert done.code == 0, done.err
    unknown = [line for line in lines(done.out) if line["label"] == "unknown"]
    assert [line["image"] for line in unknown] == [str(path) for path in shown[1:]]
    with (tmp_path / "new" / "unknown.csv").open(encoding="utf-8", newline="") as file:
        listed = list(csv.DictReader(file))
    names = [(row["image"], row["source"]) for row in listed]
    assert names == [("checks.png", unknown[0]["image"]), ("checks-2.png", unknown[1]["image"])]
    for row, line in zip(listed, unknown, strict=True):
        assert row["nearest"] == line["nearest"]
        assert float(row["ratio"]) == line["novelty"] > 1
        assert (tmp_path / "new" / row["image"]).read_bytes() == Path(line["image"]).read_bytes()
    known = [line for line in lines(done.out) if line["label"] != "unknown"]
    assert len(known) == 3
    assert all(line["novelty"] <= 1 for line in known)
    done = millscale("inspect", trained.bundle, *shown, "--collect", tmp_path / "new")
    assert len(list((tmp_path / "new").iterdir())) == 3  # the same images again are not copied again
    (tmp_path / "new" / "unknown.csv").write_bytes("image;Größe\n".encode("latin-1"))  # saved by a spreadsheet
    (pictures / "copy.png").write_bytes((pictures / "checks.png").read_bytes())
    done = millscale("inspect", trained.bundle, pictures / "copy.png", "--collect", tmp_path / "new")
    assert done.code == 0, done.err  # and neither is a copy of one
    assert f"Unknown and new in {tmp_path / 'new'}: 0" in done.err
    PIL.Image.fromarray(255 - checks.astype(np.uint8)).save(pictures / "checks.png")
    done = millscale("inspect", trained.bundle, pictures / "checks.png", "--collect", tmp_path / "new")
    assert f"Unknown and new in {tmp_path / 'new'}: 1" in done.err
    assert len(list((tmp_path / "new").iterdir())) == 4  # but another of that name, and nothing is written over


def test_a_bundle_without_a_guard_collects_nothing(millscale, grid, pictures, tmp_path):
    path = make_bundle(grid.card(), grid.members).save(tmp_path / "grid.millscale")
    done = millscale("inspect", path, pictures / "b.png", "--collect", tmp_path / "new")
    assert done.code == 2
    assert "expected a bundle that knows what is unknown to it, found 'grid', which has no guard" in done.err
    assert not (tmp_path / "new").exists()


def test_a_folder_is_listed_as_a_data_set_is(millscale, trained, pictures):
    (pictures / "a" / "._1.bmp").write_bytes(b"what macOS leaves beside an image")
    (pictures / "elsewhere").mkdir()
    shutil.copyfile(pictures / "b.png", pictures / "elsewhere" / "c.png")
    (pictures / "a" / "lot").symlink_to(pictures / "elsewhere")
    (pictures / "a" / "gone.png").symlink_to(pictures / "nothing.png")
    done = millscale("inspect", trained.bundle, pictures / "a", "--json")
    names = [Path(line["image"]).name for line in lines(done.out)]
    assert names == ["1.bmp", "2.BMP", "band 3 süd.bmp", "gone.png", "c.png"]
    assert done.code == 3  # of the image that is gone
    assert [line["image"] for line in lines(done.out) if "error" in line] == [str(pictures / "a" / "gone.png")]


def test_what_an_earlier_call_left_in_the_folder_is_not_inspected(millscale, trained, pictures):
    checks = 40 + 160 * ((np.add.outer(np.arange(96) // 12, np.arange(96) // 12)) % 2)
    PIL.Image.fromarray(checks.astype(np.uint8)).save(pictures / "b.png")
    for _ in range(2):
        done = millscale("inspect", trained.bundle, pictures, "--collect", pictures / "new", "--json")
        assert len(lines(done.out)) == 4
    (pictures / "b.boxes.png").write_bytes((pictures / "b.png").read_bytes())
    assert (
        len(lines(millscale("inspect", trained.bundle, pictures / "a", pictures / "*.png", "--json").out)) == 5
    )  # as asked for
    done = millscale("inspect", trained.bundle, pictures, "--collect", pictures / "new", "--json")
    assert len(lines(done.out)) == 4
    assert f"{pictures}: 2 drawings and collected images are left out." in done.err
    (pictures / "drawn").mkdir()
    done = millscale("inspect", trained.bundle, pictures / "*", "--collect", pictures / "new", "--json")
    assert done.code == 3
    assert f"{pictures / 'drawn'}: expected a folder with images, found none in it" in done.err
    (pictures / "drawn").rmdir()
    done = millscale("inspect", trained.bundle, pictures / "*", "--collect", pictures / "new", "--json")
    assert len(lines(done.out)) == 5  # with the drawing, which the glob names


def test_a_path_that_names_nothing_is_told_before_the_work(millscale, trained, pictures):
    done = millscale("inspect", trained.bundle, pictures / "b.png", pictures / "none.png", "--json")
    assert (done.code, done.out) == (3, "")
    assert "none.png: expected a file, a folder or a glob that matches, found nothing" in done.err


def test_a_glob_that_descends_names_each_image_once(millscale, trained, pictures):
    assert len(lines(millscale("inspect", trained.bundle, f"{pictures}/**", "--json").out)) == 4
    assert len(lines(millscale("inspect", trained.bundle, f"{pictures}/**/a", "--json").out)) == 3


def test_a_name_that_is_no_text_counts_as_unreadable(millscale, trained, pictures):
    shutil.copyfile(pictures / "b.png", pictures / "a" / os.fsdecode(b"bad\xff.png"))
    done = millscale("inspect", trained.bundle, pictures / "a", "--json")
    assert done.code == 3
    assert [line["error"] for line in lines(done.out) if "error" in line] == [
        f"{pictures}/a/bad\\udcff.png: its name is not valid text"
    ]
    assert len(lines(done.out)) == 4
