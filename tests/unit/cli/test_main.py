import json
import sys

import pytest

from millscale import __version__


def test_the_version(millscale):
    assert millscale("--version").out.strip() == __version__


@pytest.mark.parametrize("words", [[], ["--help"]])
def test_help_lists_every_verb(millscale, words):
    shown = millscale(*words)
    for verb in ("demo", "data", "train", "evaluate", "inspect", "doctor"):
        assert f"  {verb} " in shown.out + shown.err


@pytest.mark.parametrize("words", [["frobnicate"], ["--frobnicate"], ["data", "frobnicate"]])
def test_an_unknown_word_is_a_usage_error(millscale, words):
    assert millscale(*words).code == 2


def test_doctor_tells_what_is_there_and_what_to_do(millscale, monkeypatch, tmp_path):
    monkeypatch.setenv("MILLSCALE_WEIGHTS", str(tmp_path))
    done = millscale("doctor", "--json")
    assert done.code == 0
    document = json.loads(done.out)
    assert document["millscale"] == __version__
    assert document["python"] == sys.version.split()[0]
    assert set(document["floors"]) >= {"serve", "learn", "train"}
    assert document["backbones"]["millscale_s"] == "ready"
    assert "millscale data fetch resnet18" in document["backbones"]["resnet18"]
    assert "millscale data fetch yolox_nano_coco" in document["training_weights"]["yolox_nano_coco"]
    for floor, packages in document["floors"].items():
        command = "pip install millscale" if floor == "serve" else f'pip install "millscale[{floor}]"'
        assert (command in document["fixes"]) == (None in packages.values())


def test_doctor_tells_people_the_same(millscale):
    done = millscale("doctor")
    assert (done.code, done.out) == (0, "")
    assert f"millscale {__version__}" in done.err
    assert "backbone millscale_s: ready" in done.err


def test_the_demo_goes_from_nothing_to_verdicts(millscale, tiny_path, tmp_path):
    done = millscale("demo", "--out", tmp_path / "demo", "--per-class", 5, "--backbone", tiny_path)
    assert (done.code, done.out) == (0, "")
    assert "Group-clean accuracy" in done.err
    assert "images share pixels with another" in done.err
    assert len([line for line in done.err.splitlines() if line.split()[:1] in (["reject"], ["review"])]) == 6
    for path in ("synthetic-steel/report-predictions.png", "synthetic-steel/report.html", "data/truth.json"):
        assert (tmp_path / "demo" / path).stat().st_size > 1000
