import json

import numpy as np
import pytest

from millscale.runtime.bundle import open_bundle
from millscale.runtime.card import Card

ALLOWED = {"boxes": 0.1, "scores": 1e-3, "probs": 1e-4}


@pytest.fixture
def images(grid, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(grid.picture({(number, 1): (60 * number + 80, 0, 33)}))
    return folder


@pytest.mark.parametrize(
    ("backend", "files"),
    [
        ("onnxruntime", {"classifier.onnx", "detector.onnx"}),
        ("openvino", {"classifier.xml", "classifier.bin", "detector.xml", "detector.bin"}),
    ],
)
def test_every_network_is_written_with_its_card_and_what_was_compared(
    millscale, bundles, images, tmp_path, backend, files
):
    if backend == "openvino":
        pytest.importorskip("openvino")
    out = tmp_path / "new" / "out"
    done = millscale("export", bundles.both, "--data", images, "--out", out, "--backend", backend, "--json")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert (document["folder"], document["images"]) == (str(out), 3)
    assert [(one["file"], one["output"]) for one in document["parity"]] == [
        ("classifier.onnx", "probs"),
        ("detector.onnx", "boxes"),
        ("detector.onnx", "scores"),
    ]
    for one in document["parity"]:
        assert one["backend"] == backend
        assert 0 <= one["largest"] <= one["allowed"] == ALLOWED[one["output"]]
    assert {path.name for path in out.iterdir()} == {"card.json", "parity.json"} | files
    written = json.loads((out / "parity.json").read_text(encoding="utf-8"))
    assert written == {"images": 3, "parity": document["parity"]}
    card = Card.model_validate_json((out / "card.json").read_text(encoding="utf-8"))
    assert card == open_bundle(bundles.both).card
    assert "parity of detector.onnx: 3/3" in done.err


def test_onnx_files_are_the_bundles_own(millscale, bundles, images, tmp_path):
    done = millscale("export", bundles.detector, "--data", images, "--out", tmp_path, "--backend", "onnxruntime")
    assert (done.code, done.out) == (0, "")
    assert (tmp_path / "detector.onnx").read_bytes() == bundles.graphs["detector.onnx"]
    assert "detector.onnx: scores differ by 0.0e+00 at most (0.001 is allowed)" in done.err
    assert f"Written to {tmp_path}, compared on 3 images" in done.err


def test_openvino_files_answer_as_the_bundle(millscale, bundles, images, grid, tmp_path):
    openvino = pytest.importorskip("openvino")
    assert millscale("export", bundles.detector, "--data", images, "--out", tmp_path).code == 0  # the default backend
    pixels = np.zeros((1, 40, 40, 3), np.uint8)
    pixels[0, 10:20, 30:, 1] = 102
    answer = openvino.compile_model(tmp_path / "detector.xml", "CPU")({"images": pixels})
    assert answer["scores"].shape == (1, 16, 3)
    assert answer["scores"][0, 7, 1] == pytest.approx(0.4, abs=1e-5)
    assert answer["boxes"][0, 7].tolist() == [30, 10, 40, 20]


def test_a_run_is_as_good_as_its_bundle(millscale, bundles, images, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    words = ("export", run, "--data", images, "--out", tmp_path / "out", "--backend", "onnxruntime", "--json")
    none = millscale(*words)
    (run / "one.millscale").write_bytes(bundles.detector.read_bytes())
    one = millscale(*words)
    (run / "two.millscale").write_bytes(bundles.detector.read_bytes())
    two = millscale(*words)
    assert (one.code, json.loads(one.out)["images"]) == (0, 3)
    for done, count in ((none, 0), (two, 2)):
        assert (done.code, done.out) == (2, "")
        assert f"{run}: expected a run's folder with one bundle, found {count}. Name the bundle itself." in done.err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["BUNDLE"], 2, ""),  # no --data
        (["BUNDLE", "--data", "IMAGES", "--backend", "openvin"], 2, "backend 'openvin'. Did you mean 'openvino'?"),
        (["/nowhere/a.millscale", "--data", "IMAGES"], 4, "Bundle /nowhere/a.millscale: expected a .millscale file"),
        (["BROKEN", "--data", "IMAGES"], 4, "broken.millscale: expected a .millscale file written by"),
        (["BUNDLE", "--data", "/nowhere"], 3, "/nowhere: expected a folder of images, found nothing there"),
        (["BUNDLE", "--data", "DAMAGED"], 3, "b.png: expected a whole image, found a truncated or damaged one"),
        (["BUNDLE", "--data", "UNREADABLE"], 3, "images to compare the runtimes on, found none that can be read"),
    ],
)  # fmt: skip
def test_a_wrong_call_has_its_message_and_code_and_writes_nothing(
    millscale, bundles, images, tmp_path, words, code, message
):
    good, broken = (images / "0.png").read_bytes(), tmp_path / "broken.millscale"
    broken.write_bytes(bundles.detector.read_bytes()[:-50])
    for name, files in {"damaged": {"a.png": good, "b.png": good[:60]}, "unreadable": {"a.png": b"none"}}.items():
        (tmp_path / name).mkdir()
        for file, data in files.items():
            (tmp_path / name / file).write_bytes(data)
    places = {"BUNDLE": bundles.detector, "BROKEN": broken, "IMAGES": images}
    places |= {"DAMAGED": tmp_path / "damaged", "UNREADABLE": tmp_path / "unreadable"}
    given = [places.get(word, word) for word in words]
    if "--backend" not in words:
        given += ["--backend", "onnxruntime"]
    done = millscale("export", *given, "--out", tmp_path / "out", "--json")
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_named(millscale, bundles, images):
    out = images / "0.png"
    done = millscale("export", bundles.detector, "--data", images, "--out", out, "--backend", "onnxruntime", "--json")
    assert (done.code, done.out) == (3, "")
    assert f"{out}: expected a file or folder that can be read and written" in done.err
