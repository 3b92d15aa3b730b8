"""A data folder as people have them: everything wrong with it is told, and the rest is trained on."""

import json
import shutil

import numpy as np
import PIL.Image
import pytest


@pytest.fixture(scope="module")
def messy(steel, tmp_path_factory):
    """Three classes of twelve images with odd names, and everything that can lie around."""
    root = tmp_path_factory.mktemp("messy") / "Strip photos 2024"
    names = {"crazing": "Crazing", "patches": "fein rissig", "scratches": "царапины 傷"}
    for record in steel.records:
        if record.label in names:
            folder = root / names[record.label]
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(record.path, folder / record.path.name)
    (root / "Crazing" / "crazing_00001.bmp").rename(root / "Crazing" / "CRAZING_1.BMP")
    (root / "fein rissig" / "patches_00002.bmp").rename(root / "fein rissig" / "Blech № 2 – süß.bmp")
    whole = (root / "Crazing" / "crazing_00004.bmp").read_bytes()
    (root / "Crazing" / "cut off.bmp").write_bytes(whole[: len(whole) // 2])
    (root / "Crazing" / "empty.bmp").write_bytes(b"")
    (root / "Crazing" / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (root / "Crazing" / "notes.txt").write_text("remember the rolls")
    (root / "nothing yet").mkdir()
    (root / "one of a kind").mkdir()
    rng = np.random.default_rng(0)
    coarse = PIL.Image.fromarray(rng.integers(0, 256, (20, 15), dtype=np.uint8))
    coarse.resize((60, 80)).save(root / "one of a kind" / "only.png")
    (root / "Crazing" / "loop").symlink_to(root, target_is_directory=True)
    (root / "fein rissig" / "dangling.bmp").symlink_to(root / "nowhere.bmp")
    return root


@pytest.fixture(scope="module")
def run(messy, millscale, tiny_path, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    done = millscale("train", messy, "--backbone", tiny_path, "--out", out, "--json")
    assert done.code == 0, done.err
    return done, out


def test_it_trains_on_all_that_can_be_used(run):
    metrics = json.loads(run[0].out)["metrics"]
    assert metrics["images"] == 37
    assert metrics["classes"] == ["Crazing", "fein rissig", "one of a kind", "царапины 傷"]


@pytest.mark.parametrize(
    ("words"),
    [
        ("unreadable_image:", "cut off.bmp", "Replace"),
        ("unreadable:", "empty.bmp", "Replace"),
        ("unreadable:", "dangling.bmp"),
        ("empty_class:", "class 'nothing yet' has no usable image", "Add images, or remove the folder."),
        ("single_image_class:", "class 'one of a kind' has a single image", "Add images of this class."),
        ("link:", "loop", "link not followed"),
        ("not_an_image:", "notes.txt"),
    ],
)
def test_each_trouble_has_its_line_with_what_to_do(run, words):
    assert [line for line in run[0].err.splitlines() if all(word in line for word in words)]


def test_clutter_of_an_operating_system_is_not_mentioned(run):
    assert "Thumbs.db" not in run[0].err


def test_no_trouble_is_told_twice(run):
    for name in ("cut off.bmp", "empty.bmp", "dangling.bmp", "nothing yet", "one of a kind", "notes.txt"):
        assert run[0].err.count(name) == 1, name


def test_its_bundle_inspects_the_same_folder(run, messy, millscale):
    bundle = next(run[1].glob("*.millscale"))
    assert bundle.name == "Strip photos 2024.millscale"
    done = millscale("inspect", bundle, messy, "--json")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert done.code == 3  # some cannot be read
    assert sorted(line["image"].rpartition("/")[2] for line in lines if "error" in line) == [
        "cut off.bmp",
        "dangling.bmp",
        "empty.bmp",
    ]
    assert len([line for line in lines if "verdict" in line]) == 37


def test_the_report_and_the_tables_hold_the_odd_names(run):
    assert "царапины 傷" in (run[1] / "report.html").read_text(encoding="utf-8")
    assert "Blech № 2 – süß.bmp" in (run[1] / "predictions.csv").read_text(encoding="utf-8")
    document = json.loads((run[1] / "run.json").read_text(encoding="utf-8"))
    assert document["dataset"]["classes"]["царапины 傷"] == 12
