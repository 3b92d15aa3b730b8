import json
import shutil

import numpy as np
import PIL.Image
import pytest

from millscale.data.synthetic import make_dataset

KEYS = {
    "images", "accuracy", "balanced_accuracy", "macro_f1", "confusion", "ece", "escape_rate", "overkill_rate",
    "review_rate", "intervals", "trained_on", "faults", "problems",
}  # fmt: skip


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """Images of the same six classes that no bundle was trained on."""
    return make_dataset(tmp_path_factory.mktemp("fresh"), per_class=3, size=96, seed=77)


def test_json_is_one_document_with_the_promised_keys(millscale, trained, fresh, tmp_path):
    done = millscale("evaluate", trained.bundle, fresh.source, "--out", tmp_path, "--json")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert set(document) >= KEYS
    assert document["images"] == 18
    assert (document["trained_on"], document["faults"]) == (0, 0)
    assert (document["escape_rate"], document["overkill_rate"]) == (None, None)  # no class is good
    assert 0 <= document["intervals"]["coverage"][0] <= document["coverage"] <= document["intervals"]["coverage"][1]
    assert np.mean(list(document["coverage_by_class"].values())) == pytest.approx(document["coverage"])
    assert document["mean_plausible"] >= 1
    assert np.trace(document["confusion"]) / 18 == pytest.approx(document["accuracy"])
    assert document["intervals"]["review_rate"][0] <= document["review_rate"] <= document["intervals"]["review_rate"][1]
    assert "Images for a person" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Careful" not in done.err
    assert {"report.html", "evaluation.json", "predictions.csv"} <= {path.name for path in tmp_path.iterdir()}
    assert json.loads((tmp_path / "evaluation.json").read_text(encoding="utf-8")) == document


def test_no_more_is_claimed_than_was_looked_at(millscale, trained, steel, tmp_path):
    """The training images themselves, as PNG: no file is known, every pixel is. That must not read "no leak"."""
    for record in steel.records[::9]:
        path = (tmp_path / "png" / record.id).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.open(record.path).save(path)
    done = millscale("evaluate", trained.bundle, tmp_path / "png", "--out", tmp_path / "out", "--json")
    assert json.loads(done.out)["trained_on"] == 0
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "leak between training and judged images was not measured" in page
    assert "shared pixels cannot be told" in page
    assert "No judged image shares pixels" not in page


def test_images_that_it_was_trained_on_are_told(millscale, trained, steel, fresh, tmp_path):
    mixed = tmp_path / "mixed"
    shutil.copytree(fresh.source, mixed)
    for record in steel.records[:5]:
        shutil.copyfile(record.path, mixed / str(record.label) / f"other name {record.path.name}")
    done = millscale("evaluate", trained.bundle, mixed, "--out", tmp_path / "out", "--json")
    assert json.loads(done.out)["trained_on"] == 5
    assert "Careful: 5 of these images were used to train this bundle; this is no test." in done.err
    assert "5 of these 23 images are among them, so this is no test" in (tmp_path / "out" / "report.html").read_text(
        encoding="utf-8"
    )


def test_faulty_photographs_are_counted_and_reviewed(millscale, trained, fresh, tmp_path):
    shutil.copytree(fresh.source, tmp_path / "images")
    for name in fresh.ids[:2]:
        PIL.Image.new("L", (96, 96)).save(tmp_path / "images" / name)
    done = millscale("evaluate", trained.bundle, tmp_path / "images", "--out", tmp_path / "out", "--json")
    document = json.loads(done.out)
    assert (document["images"], document["faults"]) == (18, 2)
    assert document["review_rate"] >= 2 / 18
    assert "Careful: 2 of these images are faulty photographs" in done.err


def test_people_are_told_the_accuracy_with_its_interval(millscale, trained, fresh, tmp_path):
    done = millscale("evaluate", trained.bundle, fresh.source, "--out", tmp_path)
    assert (done.code, done.out) == (0, "")
    assert "95 % interval" in done.err
    assert "escape rate undefined here" in done.err


def test_a_class_that_the_bundle_does_not_know(millscale, trained, fresh, tmp_path):
    shutil.copytree(fresh.source, tmp_path / "images")
    (tmp_path / "images" / "patches").rename(tmp_path / "images" / "rust")
    done = millscale("evaluate", trained.bundle, tmp_path / "images", "--out", tmp_path / "out")
    assert (done.code, done.out) == (3, "")
    assert "expected the bundle's classes (crazing," in done.err
    assert "found rust" in done.err


def test_classes_that_the_bundle_does_not_know_may_be_what_its_guard_is_judged_on(millscale, trained, fresh, tmp_path):
    shutil.copytree(fresh.source, tmp_path / "images")
    (tmp_path / "images" / "noise").mkdir()
    for k in range(4):
        pixels = np.random.default_rng(k).integers(0, 256, (96, 96), np.uint8)
        PIL.Image.fromarray(pixels).save(tmp_path / "images" / "noise" / f"{k}.png")
    words = ("evaluate", trained.bundle, tmp_path / "images", "--out", tmp_path / "out", "--unknown-classes")
    found = json.loads(millscale(*words, "--json").out)
    alone = json.loads(millscale("evaluate", trained.bundle, fresh.source, "--out", tmp_path / "alone", "--json").out)
    assert found["unknown_flagged"] == {"noise": 1.0}
    assert found["unknown_auroc"] == 1
    assert found["unknown_fpr95"] == 0
    del alone["problems"]  # of the noise there are some
    assert {key: found[key] for key in alone} == alone  # the known are judged as they are alone
    assert "noise: 100.0% called unknown" in millscale(*words).err
    shutil.rmtree(tmp_path / "images")
    (tmp_path / "images" / "rust").mkdir(parents=True)
    PIL.Image.fromarray(pixels).save(tmp_path / "images" / "rust" / "1.png")
    done = millscale(*words)
    assert done.code == 3
    assert "expected also images of the bundle's classes" in done.err


def test_few_images_of_few_classes_are_enough_to_evaluate_on(millscale, trained, fresh, tmp_path):
    shutil.copytree(f"{fresh.source}/patches", tmp_path / "images" / "patches")
    (tmp_path / "images" / "scratches").mkdir()
    one = next(record.path for record in fresh.records if record.label == "scratches")
    shutil.copy(one, tmp_path / "images" / "scratches")
    done = millscale("evaluate", trained.bundle, tmp_path / "images", "--out", tmp_path / "out", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["images"] == 4
    assert json.loads(done.out)["problems"] == []  # nobody learns from the one image of its class


def test_a_damaged_image_is_left_out_and_told(millscale, trained, fresh, tmp_path):
    shutil.copytree(fresh.source, tmp_path / "images")
    bad = tmp_path / "images" / fresh.ids[0]
    bad.write_bytes(bad.read_bytes()[:-400])
    done = millscale("evaluate", trained.bundle, tmp_path / "images", "--out", tmp_path / "out", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["images"] == 17
    assert bad.name in done.err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["/nowhere/a.millscale", "IMAGES"], 4, "expected a .millscale file, found none"),
        (["BUNDLE", "/nowhere"], 3, "/nowhere: expected a folder of images, found nothing there"),
        (["BUNDLE", "UNLABELLED"], 3, "expected"),
        (["BUNDLE"], 2, ""),
    ],
)
def test_a_wrong_call_has_its_message_and_code(millscale, trained, fresh, tmp_path, words, code, message):
    (tmp_path / "plain").mkdir()
    PIL.Image.new("L", (40, 40)).save(tmp_path / "plain" / "x.png")
    places = {"BUNDLE": trained.bundle, "IMAGES": fresh.source, "UNLABELLED": tmp_path / "plain"}
    done = millscale("evaluate", *(places.get(word, word) for word in words), "--out", tmp_path / "out", "--json")
    assert (done.code, done.out) == (code, "")
    assert message in done.err


def test_costs_decide_how_a_classifier_is_judged(millscale, trained, fresh, tmp_path):
    rates = {}
    for review in ("0", "100"):
        done = millscale(
            "evaluate", trained.bundle, fresh.source, "--out", tmp_path, "--json", "--cost", f"review={review}"
        )
        assert done.code == 0, done.err
        rates[review] = json.loads(done.out)["review_rate"]
    assert rates["0"] > 0.9
    assert rates["100"] < 0.5
    wrong = millscale("evaluate", trained.bundle, fresh.source, "--out", tmp_path, "--cost", "revue=1")
    assert (wrong.code, "revue" in wrong.err) == (2, True)
