import json

import numpy as np
import PIL.Image
import pytest

QUICK = ("--masks", 60, "--fill", "mean")
KEYS = {
    "image",
    "verdict",
    "reason",
    "target",
    "deletion",
    "insertion",
    "random",
    "better_than_random",
    "map",
    "picture",
}


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def pictures(grid, tmp_path):
    """a.png: red .8 at the second column of the third row, green .6 at the top right, blue .4 that does not count."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.png").write_bytes(grid.picture({(1, 2): (204, 0, 0), (3, 0): (0, 153, 0), (3, 3): (0, 0, 102)}))
    return folder


def test_each_box_is_one_json_line_with_a_map_that_peaks_in_it(millscale, bundles, pictures, tmp_path):
    done = millscale("explain", bundles.detector, pictures, *QUICK, "--out", tmp_path / "out", "--json")
    assert done.code == 0, done.err
    red, green = lines(done.out)
    assert red["target"] == {"label": "red", "score": 0.8, "xyxy": [10, 20, 20, 30]}
    assert green["target"] == {"label": "green", "score": 0.6, "xyxy": [30, 0, 40, 10]}
    for line in (red, green):
        assert set(line) == KEYS
        assert line["image"] == str(pictures / "a.png")
        assert line["better_than_random"]
        heat = np.load(line["map"], allow_pickle=False)
        row, column = np.unravel_index(heat.argmax(), heat.shape)
        left, top, right, bottom = line["target"]["xyxy"]
        assert heat.shape == (40, 40)
        assert left <= column < right
        assert top <= row < bottom
        with PIL.Image.open(line["picture"]) as picture:
            assert picture.size == (1112, 2 * 580 + 24)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "a.explained.png", "a.box-1.npy", "a.box-2.npy"
    }  # fmt: skip
    assert "explain: " in done.err  # progress


def test_a_classifier_with_a_detector_explains_boxes_and_class(millscale, bundles, pictures, tmp_path):
    def targets(*words):
        done = millscale("explain", bundles.both, pictures, *QUICK, "--out", tmp_path, "--json", *words)
        assert done.code == 0, done.err
        return [(line["target"]["label"], line["target"]["xyxy"] is None) for line in lines(done.out)]

    boxes, whole = [("red", False), ("green", False)], [("red", True)]
    assert targets() == boxes + whole
    assert targets("--task", "detect") == boxes
    assert targets("--task", "classify") == whole
    assert targets("--box", 2) == [("green", False)]
    assert targets("--box", 3) == [("blue", False)]


def test_people_get_a_sentence_for_each_target(millscale, bundles, pictures, tmp_path):
    done = millscale("explain", bundles.detector, pictures / "a.png", *QUICK, "--box", 1, "--out", tmp_path / "out")
    first, second = done.out.splitlines()
    assert first == f"{pictures / 'a.png'}: red 80.0% at 10, 20, 20, 30"
    assert second.startswith("  deletion 0.")
    assert second.endswith(": better than all 9 random maps")
    assert f"Picture  {tmp_path / 'out' / 'a.explained.png'}" in done.err


def test_the_seed_and_the_fill_decide(millscale, bundles, pictures, tmp_path):
    def heat(*words):
        done = millscale("explain", bundles.detector, pictures, "--masks", 16, "--box", 1, "--out", tmp_path, *words)
        assert done.code == 0, done.err
        return (tmp_path / "a.box-1.npy").read_bytes()

    assert heat() == heat()
    assert len({heat(), heat("--seed", 1), heat("--fill", "mean"), heat("--cells", 4)}) == 4


def test_a_damaged_image_is_told_and_the_others_are_explained(millscale, bundles, pictures, grid, tmp_path):
    good = (pictures / "a.png").read_bytes()
    (pictures / "b.png").write_bytes(good[: len(good) // 2])
    (pictures / "c.png").write_bytes(good)
    done = millscale("explain", bundles.detector, pictures, *QUICK, "--box", 1, "--out", tmp_path / "out", "--json")
    assert done.code == 3
    first, bad, last = lines(done.out)
    assert set(bad) == {"image", "error"}
    assert (bad["image"], "damaged" in bad["error"]) == (str(pictures / "b.png"), True)
    assert [line["target"]["label"] for line in (first, last)] == ["red", "red"]
    assert "Error: " in done.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "a.explained.png", "a.box-1.npy", "c.explained.png", "c.box-1.npy"
    }  # fmt: skip


def test_an_image_without_any_box_is_an_error_unless_its_class_is_explained(millscale, bundles, pictures, grid):
    (pictures / "a.png").write_bytes(grid.picture({}))
    words = (pictures, "--masks", 16, "--out", pictures / "out", "--json")
    alone, both = (millscale("explain", bundle, *words) for bundle in (bundles.detector, bundles.both))
    message = f"{pictures / 'a.png'}: expected a box to explain, found none, however weak"
    assert alone.code == 3
    assert message in lines(alone.out)[0]["error"]
    assert both.code == 0
    assert message in both.err
    (line,) = lines(both.out)
    assert (line["target"]["xyxy"], line["better_than_random"]) == (None, False)
    assert not np.load(line["map"], allow_pickle=False).any()


def test_images_of_one_name_do_not_replace_each_other(millscale, bundles, pictures, tmp_path):
    for name in ("b/a.png", "c/a-2.png", "c/a.bmp"):
        (pictures / name).parent.mkdir(exist_ok=True)
        PIL.Image.open(pictures / "a.png").save(pictures / name)
    words = ("--masks", 16, "--box", 1, "--out", tmp_path / "out", "--json")
    done = millscale("explain", bundles.detector, pictures, *words)
    files = [line[key] for line in lines(done.out) for key in ("map", "picture")]
    assert len(set(files)) == len(list((tmp_path / "out").iterdir())) == 8


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, ""),
        (["DETECTOR"], 2, "Expected images to explain, found only a bundle"),
        (["DETECTOR", "/nowhere/a.png"], 3, "/nowhere/a.png: expected a file, a folder or a glob that matches"),
        (["/nowhere/a.millscale", "IMAGE"], 4, "Bundle /nowhere/a.millscale: expected a .millscale file, found none"),
        (["BROKEN", "IMAGE"], 4, "expected a .millscale file written by `millscale train`, found something else"),
        (["DETECTOR", "IMAGE", "--fill", "blurr"], 2, "Unknown fill 'blurr'. Did you mean 'blur'? Available: blur"),
        (["DETECTOR", "IMAGE", "--task", "detec"], 2, "Unknown task 'detec'. Did you mean 'detect'?"),
        (["DETECTOR", "IMAGE", "--backend", "tensorrt"], 2, "Unknown backend 'tensorrt'. Available: onnxruntime"),
        (["DETECTOR", "IMAGE", "--masks", "61"], 2, "masks: expected an even number of at least 16, found 61"),
        (["DETECTOR", "IMAGE", "--cells", "1"], 2, "cells: expected at least 2, found 1"),
        (["DETECTOR", "IMAGE", "--seed", "-1"], 2, "seed: expected at least 0, found -1"),
        (["DETECTOR", "IMAGE", "--box", "0"], 2, "--box 0: expected a number from 1 to 3"),
        (["DETECTOR", "IMAGE", "--box", "4"], 2, "--box 4: expected a number from 1 to 3"),
        (["BOTH", "IMAGE", "--box", "1", "--task", "classify"], 2, "--box 1: expected a box to belong to detection"),
        (["DETECTOR", "IMAGE", "--task", "classify"], 2, "a part that can classify, found only what can detect"),
        (["CLASSIFIER", "IMAGE", "--task", "detect"], 2, "a part that can detect, found only what can classify"),
        (["CLASSIFIER", "IMAGE", "--box", "1"], 2, "a part that can detect, found only what can classify"),
        (["DETECTOR", "IMAGE", "--out", "IMAGE"], 3, "a.png: expected a file or folder that can be read and written"),
    ],
)  # fmt: skip
def test_a_wrong_call_has_its_message_and_code_and_explains_nothing(
    millscale, bundles, pictures, tmp_path, words, code, message
):
    broken = tmp_path / "broken.millscale"
    broken.write_bytes(bundles.detector.read_bytes()[:-99])
    places = {"DETECTOR": bundles.detector, "CLASSIFIER": bundles.classifier, "BOTH": bundles.both}
    places |= {"BROKEN": broken, "IMAGE": pictures / "a.png"}
    out = () if "--out" in words else ("--out", tmp_path / "out")
    done = millscale("explain", *(places.get(word, word) for word in words), *out, "--json")
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert "explain: " not in done.err  # no work was done in vain
    assert not list((tmp_path / "out").glob("*"))


def test_what_the_bundle_does_not_know_is_explained_as_such(millscale, trained, tmp_path):
    checks = 40 + 160 * ((np.add.outer(np.arange(96) // 12, np.arange(96) // 12)) % 2)
    PIL.Image.fromarray(checks.astype(np.uint8)).save(tmp_path / "checks.png")
    words = ("explain", trained.bundle, tmp_path / "checks.png", *QUICK, "--out", tmp_path / "out")
    done = millscale(*words, "--json")
    assert done.code == 0, done.err
    (line,) = lines(done.out)
    assert line["verdict"] == "review"
    assert line["reason"].startswith("unknown: unlike anything in training")
    assert f"{line['reason']}. What is explained is why the nearest class was named" in done.err
