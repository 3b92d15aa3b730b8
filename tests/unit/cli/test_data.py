import json
import shutil
from functools import partial

import pytest

from millscale.data.read import read

CHECK = {
    "images", "classes", "unreadable", "exact_duplicates", "overlaps", "groups", "near_duplicates",
    "suspect_labels", "problems",
}  # fmt: skip


def test_check_prints_one_document_with_the_promised_keys(millscale, steel):
    done = millscale("data", "check", steel.source, "--json")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert set(document) >= CHECK
    assert document["images"] == 72
    assert document["classes"] == dict.fromkeys(steel.classes, 12)
    assert 0 < document["groups"] < 72
    for a, b, fraction in document["overlaps"]:
        assert {a, b} <= set(steel.ids)
        assert 0 < fraction <= 1


def test_check_tells_people_and_draws_the_groups(millscale, steel, tmp_path):
    done = millscale("data", "check", steel.source, "--out", tmp_path / "new")
    assert (done.code, done.out) == (0, "")
    assert "72 images" in done.err
    assert "A random split would leak." in done.err
    assert (tmp_path / "new" / "groups.png").stat().st_size > 1000


def test_check_names_what_is_wrong_with_what_to_do(millscale, steel, tmp_path):
    shutil.copytree(steel.source, tmp_path / "images")
    (tmp_path / "images" / "broken").mkdir()
    shutil.copyfile(steel.records[0].path, tmp_path / "images" / "patches" / "copy.bmp")
    done = millscale("data", "check", tmp_path / "images", "--json")
    document = json.loads(done.out)
    assert ["crazing/crazing_00001.bmp", "patches/copy.bmp"] in document["exact_duplicates"]
    problems = {problem["code"]: problem for problem in document["problems"]}
    assert "broken" in problems["empty_class"]["message"]
    assert all(set(problem) >= {"code", "path", "message", "fix"} for problem in document["problems"])


def test_split_prints_one_document_with_the_promised_keys(millscale, steel, tmp_path):
    out = tmp_path / "new" / "split.json"
    done = millscale("data", "split", steel.source, "--folds", 3, "--test", 0.2, "--val", 0.1, "--out", out, "--json")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert set(document) >= {"train", "val", "test", "folds", "groups", "leaks"}
    assert document["leaks"] == 0
    assert sorted([*document["train"], *document["val"], *document["test"]]) == sorted(steel.ids)
    assert sorted(name for fold in document["folds"] for name in fold) == sorted([*document["train"], *document["val"]])
    assert json.loads(out.read_text(encoding="utf-8")) == document


def test_the_same_seed_gives_the_same_split_and_another_seed_another(millscale, steel, tmp_path):
    split = partial(millscale, "data", "split", steel.source, "--json", "--out", tmp_path / "split.json")
    first, again, other = split().out, split().out, split("--seed", 1).out
    assert first == again
    assert first != other


def test_the_leak_of_a_split_that_somebody_else_made_is_measured(millscale, steel, tmp_path):
    halves = {
        "train": steel.ids[::2],
        "val": [],
        "test": steel.ids[1::2],
        "folds": [],
        "groups": 0,
        "leaks": 0,
    }
    (tmp_path / "split.json").write_text(json.dumps(halves))
    leaky = leaks_of(millscale, tmp_path / "split.json", steel)
    millscale("data", "split", steel.source, "--test", 0.3, "--folds", 0, "--out", tmp_path / "clean.json")
    clean = leaks_of(millscale, tmp_path / "clean.json", steel)
    assert leaky["test"]["images"] == 36
    assert leaky["test"]["leaking"] > 10
    assert leaky["test"]["fraction"] == pytest.approx(leaky["test"]["leaking"] / 36, abs=1e-6)
    assert {a for a, _, _ in leaky["test"]["pairs"]} <= set(halves["test"])
    assert clean["test"]["leaking"] == 0


def leaks_of(millscale, split, steel):
    done = millscale("data", "check", split, "--data", steel.source, "--no-labels", "--json")
    assert done.code == 0, done.err
    return {leak["part"]: leak for leak in json.loads(done.out)["leaks"]}


def test_synth_writes_what_it_is_asked_for_and_convert_copies_it(millscale, tmp_path):
    done = millscale("data", "synth", tmp_path / "made", "--per-class", 2, "--size", 64, "--seed", 5)
    assert (done.code, done.out) == (0, "")
    images = read(tmp_path / "made" / "images")
    assert images.class_counts == dict.fromkeys(images.classes, 2)
    assert len(images.classes) == 6
    done = millscale("data", "convert", tmp_path / "made" / "images", tmp_path / "copy")
    assert (done.code, done.out) == (0, "")
    copied = read(tmp_path / "copy")
    assert [r.content_hash for r in copied.records] == [r.content_hash for r in images.records]
    assert [r.label for r in copied.records] == [r.label for r in images.records]


def test_lists_of_names_become_a_split_file(millscale, steel, tmp_path):
    (tmp_path / "train.txt").write_text("\n".join(steel.ids[::2]))
    (tmp_path / "val.txt").write_text("\n".join(name.rpartition(".")[0] for name in steel.ids[1::2]))
    lists = ["--part", f"train={tmp_path / 'train.txt'}", "--part", f"val={tmp_path / 'val.txt'}"]
    done = millscale("data", "split", steel.source, *lists, "--out", tmp_path / "split.json", "--json")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert (document["train"], document["val"]) == (list(steel.ids[::2]), list(steel.ids[1::2]))
    assert (document["test"], document["folds"]) == ([], [])
    assert document["leaks"] > 10
    assert json.loads((tmp_path / "split.json").read_text(encoding="utf-8")) == document
    (tmp_path / "val.txt").write_text("absent")
    done = millscale("data", "split", steel.source, *lists, "--out", tmp_path / "other.json")
    assert done.code == 3
    assert "expected the name of one image, found 'absent', no such image" in done.err


def test_convert_writes_boxes_in_another_layout(millscale, tmp_path):
    millscale("data", "synth", tmp_path / "made", "--per-class", 1, "--size", 64)
    for layout in ("voc", "coco", "yolo"):
        done = millscale("data", "convert", tmp_path / "made", tmp_path / layout, "--to", layout)
        assert (done.code, done.out) == (0, ""), done.err
    drawn = [sum(len(r.boxes) for r in read(tmp_path / name).records) for name in ("made", "voc", "coco", "yolo")]
    assert len(set(drawn)) == 1
    assert drawn[0] >= 6


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["check", "/nowhere"], 3, "expected a folder of images, found nothing there"),
        (["check", "/nowhere/split.json", "--data", "DATA"], 3, "/nowhere/split.json"),
        (["split", "/nowhere"], 3, "expected a folder of images, found nothing there"),
        (["split", "DATA", "--test", "1.5"], 2, "Expected test and val of 0 or more with a sum below 1"),
        (["split", "DATA", "--folds", "500"], 3, "Expected at least 500 groups for 500 folds"),
        (["split", "DATA", "--seed", "-1"], 2, ""),
        (["convert", "/nowhere", "OUT"], 3, "expected a folder of images, found nothing there"),
        (["convert", "DATA", "OUT", "--to", "yolo"], 3, "expected a data set with boxes, found none"),
        (["convert", "DATA", "OUT", "--to", "yollo"], 2, "Unknown layout 'yollo'. Did you mean 'yolo'?"),
        (["split", "DATA", "--part", "train"], 2, "Expected --part NAME=FILE, found 'train'"),
        (["synth", "DATA", "--size", "8"], 2, ""),
        (["synth", "OUT", "--size", "31"], 2, ""),
        (["fetch", "neu-clss"], 2, "Unknown data set, backbone or weights 'neu-clss'. Did you mean 'neu-cls'?"),
        (["frobnicate"], 2, ""),
        (
            ["split", "DATA", "--part", "train=x", "--folds", "3"],
            2,
            "takes the division as it is, found also --folds",
        ),
        (["check", "x.json", "--data", "DATA", "--part", "train=x"], 2, "with --data or lists with --part, found both"),
        (["fetch", "millscale_s", "--out", "OUT"], 2, "--out is where a data set goes"),
    ],
)
def test_a_wrong_call_has_its_message_and_code(millscale, steel, tmp_path, words, code, message):
    places = {"DATA": steel.source, "OUT": tmp_path / "out"}
    where = ["--out", tmp_path / "split.json"] if words[0] == "split" else []
    done = millscale("data", *(places.get(word, word) for word in words), *where)
    assert (done.code, done.out) == (code, "")
    assert message in done.err


def test_a_folder_of_one_named_part_alone_is_audited(millscale, steel, tmp_path):
    shutil.copytree(steel.source, tmp_path / "set" / "train")
    done = millscale("data", "check", tmp_path / "set", "--no-labels", "--json")
    assert done.code == 0, done.err
    assert "leaks" not in json.loads(done.out)


def test_fetching_what_ships_needs_no_network(millscale):
    done = millscale("data", "fetch", "millscale_s")
    assert (done.code, done.out) == (0, "")
    assert "millscale_s.onnx" in done.err
