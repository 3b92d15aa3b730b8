"""``inspect`` with a bundle that locates, and its ``--draw``."""

import json

import numpy as np
import PIL.Image
import pytest

from millscale.imaging.mosaic import PALETTE


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def pictures(grid, tmp_path):
    """1.png with a red, a green and a weak blue cell; 2.png with one too weak."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "1.png").write_bytes(grid.picture({(1, 2): (204, 0, 0), (3, 0): (0, 153, 0), (3, 3): (0, 0, 102)}))
    (folder / "2.png").write_bytes(grid.picture({(2, 2): (0, 0, 102)}))
    return folder


@pytest.fixture
def black(grid, tmp_path):
    (tmp_path / "black.png").write_bytes(grid.picture({}))
    return tmp_path / "black.png"


@pytest.mark.parametrize("name", ["detector", "classifier", "both"])
def test_a_black_frame_is_neither_a_pass_nor_a_defect(millscale, bundles, black, name):
    done = millscale("inspect", getattr(bundles, name), black, "--json", "--fail-on-defect")
    (line,) = lines(done.out)
    assert done.code == 1
    assert (line["verdict"], line["label"], line["boxes"]) == ("review", "image fault", [])
    assert line["fault"] == "black frame (highlights 0, expected 9 to 255); check lamp and exposure"
    assert line["reason"] == f"image fault: {line['fault']}"
    told = millscale("inspect", getattr(bundles, name), black)
    assert f"{black}: image fault: black frame" in told.err
    assert told.out.startswith("review  image fault")


def test_boxes_that_count_are_told_the_strongest_first(millscale, bundles, pictures):
    done = millscale("inspect", bundles.detector, pictures, "--json")
    assert (done.code, done.err) == (0, "")
    first, second = lines(done.out)
    assert first["boxes"] == [
        {"label": "red", "score": 0.8, "xyxy": [10, 20, 20, 30]},
        {"label": "green", "score": 0.6, "xyxy": [30, 0, 40, 10]},
    ]
    assert (first["verdict"], first["label"], first["score"]) == ("reject", "red", pytest.approx(0.8))
    assert (second["verdict"], second["boxes"], second["score"]) == ("pass", [], pytest.approx(0.4))
    assert first["fault"] is second["fault"] is None


def test_people_see_how_many_boxes_there_are(millscale, bundles, pictures, grid):
    (pictures / "3.png").write_bytes(grid.picture({(0, 0): (255, 0, 0)}))
    done = millscale("inspect", bundles.detector, pictures)
    counts = ["2 boxes", "0 boxes", "1 box  "]
    assert [count in line for line, count in zip(done.out.splitlines(), counts, strict=True)] == [True] * 3
    assert done.err.strip() == "1 pass, 2 reject"


def test_no_boxes_is_the_classifier_alone(millscale, bundles, pictures):
    both, alone = (millscale("inspect", bundles.both, pictures, "--json", *w) for w in ((), ("--no-boxes",)))
    assert [len(line["boxes"]) for line in lines(both.out)] == [2, 0]
    assert [len(line["boxes"]) for line in lines(alone.out)] == [0, 0]
    assert [line["confidence"] for line in lines(both.out)] == [line["confidence"] for line in lines(alone.out)]
    told = millscale("inspect", bundles.both, pictures / "1.png", "--no-boxes").out
    assert "box" not in told.removesuffix(f"{pictures / '1.png'}\n")


def test_every_image_is_drawn_with_its_boxes(millscale, bundles, pictures, tmp_path):
    done = millscale("inspect", bundles.detector, pictures, "--draw", tmp_path / "new" / "out", "--json")
    assert done.code == 0, done.err
    assert len(lines(done.out)) == 2
    drawn = {path.name: np.asarray(PIL.Image.open(path)) for path in (tmp_path / "new" / "out").iterdir()}
    assert set(drawn) == {"1.boxes.png", "2.boxes.png"}
    first, second = drawn["1.boxes.png"], drawn["2.boxes.png"]
    assert first.shape == second.shape == (640, 640, 3)  # 40 pixels, 16 times as large
    assert not second[..., :2].any()  # without boxes it is the image alone, black and a dark blue
    for index, (left, top, right, bottom) in ((0, (160, 320, 320, 480)), (1, (480, 0, 640, 160))):
        frame = [first[bottom - 1, left + 70], first[top + 100, left], first[top + 100, right - 1]]
        assert [tuple(pixel.tolist()) for pixel in frame] == [PALETTE[index]] * 3
    blue = first[480:, 480:]
    assert not (blue == PALETTE[2]).all(2).any()  # it does not count


def test_the_images_own_folder_may_take_the_drawings(millscale, bundles, pictures):
    before = {path: path.read_bytes() for path in pictures.iterdir()}
    assert millscale("inspect", bundles.detector, pictures, "--draw", pictures).code == 0
    assert {path: path.read_bytes() for path in before} == before
    assert len(list(pictures.iterdir())) == 4


def test_drawings_of_one_name_do_not_replace_each_other(millscale, bundles, pictures, tmp_path):
    for name in ("a/1.png", "b/1-2.png", "b/1.bmp"):
        (pictures / name).parent.mkdir(exist_ok=True)
        PIL.Image.open(pictures / "1.png").save(pictures / name)
    done = millscale("inspect", bundles.detector, pictures, "--draw", tmp_path / "out")
    assert done.code == 0
    assert f"Drawn: 5, in {tmp_path / 'out'}" in done.err
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {f"{stem}.boxes.png" for stem in ("1", "2", "1-2", "1-2-2", "1-3")}


def test_a_damaged_image_is_told_and_the_others_are_drawn(millscale, bundles, pictures, tmp_path):
    (pictures / "1b.png").write_bytes((pictures / "1.png").read_bytes()[:70])
    done = millscale("inspect", bundles.detector, pictures, "--draw", tmp_path / "out", "--json")
    assert done.code == 3
    assert [set(line) == {"image", "error"} for line in lines(done.out)] == [False, True, False]
    assert "1b.png" in done.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"1.boxes.png", "2.boxes.png"}


@pytest.mark.parametrize(
    ("bundle", "words", "code", "message"),
    [
        ("classifier", ["--draw", "OUT"], 2, "expected a bundle that locates defects, found only a classifier"),
        ("both", ["--no-boxes", "--draw", "OUT"], 2, "use a bundle with a detector and no --no-boxes"),
        (
            "detector",
            ["--no-boxes"],
            2,
            "expected a part that can classify or score anomalies, found only what can detect",
        ),
        ("detector", ["--draw", "IMAGE"], 3, "1.png: expected a file or folder that can be read and written"),
        ("detector", ["--cost", "review=1"], 2, "expected no costs, for it locates only"),
        ("detector", ["--backend", "onnxruntim"], 2, "Unknown backend 'onnxruntim'. Did you mean 'onnxruntime'?"),
    ],
)
def test_a_wrong_call_has_its_message_and_code_and_draws_nothing(
    millscale, bundles, pictures, tmp_path, bundle, words, code, message
):
    places = {"OUT": tmp_path / "out", "IMAGE": pictures / "1.png"}
    given = [places.get(word, word) for word in words]
    done = millscale("inspect", getattr(bundles, bundle), pictures, *given, "--json")
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert not (tmp_path / "out").exists()
