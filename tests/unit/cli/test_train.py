import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from millscale.data.read import read
from millscale.data.synthetic.truth import read_truth, true_overlaps
from millscale.runtime.bundle import open_bundle


def test_standard_output_is_one_json_document_with_the_promised_keys(trained):
    document = json.loads(trained.done.out)
    assert set(document) >= {"run", "bundle", "metrics", "seconds"}
    assert document["run"] == str(trained.folder)
    assert document["bundle"] == str(trained.bundle)
    assert document["seconds"] > 0
    metrics = document["metrics"]
    assert set(metrics) >= {
        "images",
        "accuracy",
        "balanced_accuracy",
        "macro_f1",
        "confusion",
        "ece",
        "intervals",
    }
    assert metrics["images"] == 72
    assert np.array(metrics["confusion"]).sum() == 72
    low, high = metrics["intervals"]["accuracy"]
    assert 0 <= low <= metrics["accuracy"] <= high <= 1


def test_progress_goes_to_standard_error(trained):
    assert "parity of the bundle: 60/60" in trained.done.err
    assert "heads: " in trained.done.err


def test_the_folder_holds_everything(trained):
    names = {path.name for path in trained.folder.iterdir()}
    assert names >= {"steel.millscale", "run.json", "split.json", "predictions.csv", "report.html"}
    assert not [name for name in names if name.endswith(".part")]


def test_run_json_says_what_was_done(trained, steel):
    run = json.loads((trained.folder / "run.json").read_text(encoding="utf-8"))
    assert run["config"]["data"] == steel.source
    assert run["config"]["seed"] == 0
    assert run["config"]["costs"] == {"escape": 10.0, "overkill": 1.0, "mislabel": 1.0, "review": 0.3}
    assert run["dataset"]["fingerprint"] == read(steel.source).fingerprint
    assert {"python", "numpy", "onnxruntime"} <= set(run["versions"])
    assert run["metrics"] == json.loads(trained.done.out)["metrics"]


def test_predictions_are_the_confusion_matrix_image_by_image(trained):
    with (trained.folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    metrics = json.loads(trained.done.out)["metrics"]
    classes = metrics["classes"]
    confusion = np.zeros((6, 6), int)
    for row in rows:
        confusion[classes.index(row["label"]), classes.index(row["prediction"])] += 1
        assert sum(float(row[name]) for name in classes) == pytest.approx(1, abs=1e-5)
    assert confusion.tolist() == metrics["confusion"]


def test_no_group_stands_in_two_folds(trained):
    with (trained.folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    home = {}
    for row in rows:
        assert home.setdefault(row["group"], row["fold"]) == row["fold"]
    assert len(home) < len(rows)  # the data does hold overlaps


def test_images_cut_from_one_sheet_share_a_fold(trained, steel):
    """The truth is known here: overlaps that the audit missed would make the accuracy a leak's."""
    split = json.loads((trained.folder / "split.json").read_text(encoding="utf-8"))
    home = {name: k for k, fold in enumerate(split["folds"]) for name in fold}
    assert set(home) == set(steel.ids)
    overlaps = true_overlaps(read_truth(Path(steel.source).parent))
    pairs = [(a, b) for a, b, fraction in overlaps if fraction >= 0.1]
    assert len(pairs) > 20
    assert [pair for pair in pairs if home[pair[0]] != home[pair[1]]] == []


def test_the_card_tells_where_the_numbers_come_from(trained, steel):
    card = open_bundle(trained.bundle).card
    assert card.name == "steel"
    assert card.protocol == "5-fold cross-validation, images that share pixels kept together"
    assert card.metrics == json.loads(trained.done.out)["metrics"]
    assert card.dataset["fingerprint"] == read(steel.source).fingerprint
    assert card.classes == steel.classes
    assert card.costs.review == 0.3
    assert card.licence_notes
    assert set(card.conformal) == {"0.01", "0.05", "0.1"}


def test_config_repeats_the_run_bit_for_bit(trained, millscale, tmp_path):
    done = millscale("train", "--config", trained.folder / "run.json", "--out", tmp_path / "again", "--json")
    assert done.code == 0, done.err
    assert (tmp_path / "again" / "steel.millscale").read_bytes() == trained.bundle.read_bytes()
    assert json.loads(done.out)["metrics"] == json.loads(trained.done.out)["metrics"]


def test_without_json_a_person_is_told_and_standard_output_stays_empty(millscale, steel, tiny_path, tmp_path):
    done = millscale(
        "train", steel.source, "--backbone", tiny_path, "--out", tmp_path, "--folds", 3, "--seed", 4,
        "--set", "head=lda", "--set", "views=1", "--good", "patches",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.out == ""
    assert "Accuracy" in done.err
    assert "95 % interval" in done.err
    assert "3-fold cross-validation, images that share pixels kept together" in done.err
    card = open_bundle(tmp_path / "images.millscale").card
    assert card.good_classes == ("patches",)
    assert card.provenance["config"]["views"] == 1
    assert card.provenance["head"]["kind"] == "lda"
    assert (card.provenance["seed"], card.provenance["folds"]) == (4, 3)


def test_the_folds_of_a_split_file_are_used(trained, millscale, steel, tiny_path, tmp_path):
    out = tmp_path / "folds.json"
    assert millscale("data", "split", steel.source, "--folds", 4, "--seed", 9, "--out", out).code == 0
    done = millscale(
        "train",
        steel.source,
        "--backbone",
        tiny_path,
        "--split",
        out,
        "--out",
        tmp_path / "run",
        "--set",
        "head=lda",
    )
    assert done.code == 0, done.err
    used = json.loads((tmp_path / "run" / "split.json").read_text(encoding="utf-8"))
    assert used["folds"] == json.loads(out.read_text(encoding="utf-8"))["folds"]


BAD = [
    (["--recipe", "prob"], 2, "Unknown recipe 'prob'. Did you mean 'probe'?"),
    (["--set", "veiws=8"], 2, "Did you mean 'views'?"),
    (["--set", "views=many"], 2, "views: expected a whole number, found 'many'"),
    (["--set", "views=3"], 2, "views: expected one of (1, 2, 4, 8), found 3"),
    (["--set", "views"], 2, "Expected --set NAME=VALUE, found 'views'"),
    (["--set", "head=svm"], 2, "head: expected auto, lda or logistic, found 'svm'"),
    (["--cost", "escape"], 2, "Expected --cost KIND=COST, found 'escape'"),
    (["--cost", "escap=3"], 2, "--cost escap"),
    (["--cost", "escape=-3"], 2, "--cost escape"),
    (["--cost", "escape=much"], 2, "--cost escape"),
    (["--folds", "2"], 2, ""),
    (["--frobnicate"], 2, ""),
    (["--folds", "4", "--split", "split.json"], 2, "--split has folds or parts of its own, found also --folds"),
    (["--task", "anomaly", "--unknown-rate", "0.1"], 2, "unknown_rate: expected a classifier, found the task"),
    (["--backbone", "resnt18"], 2, "Unknown backbone 'resnt18'. Did you mean 'resnet18'?"),
    (["--backbone", "/nowhere/a.onnx"], 4, "Backbone file /nowhere/a.onnx: expected an ONNX file"),
    (["--good", "pached"], 2, "Unknown class 'pached'. Did you mean 'patches'?"),
    (["--split", "/nowhere/split.json"], 3, "/nowhere/split.json: expected a split file"),
    (["--seed", "-1"], 2, ""),
    (["--detector", "yolo_n", "--task", "classify"], 2, "--detector yolo_n locates defects, --task classify does not."),
    (["--detector", "yolo_n", "--recipe", "probe"], 2, "--detector yolo_n locates defects, --recipe probe does not."),
]  # fmt: skip


@pytest.mark.parametrize(("words", "code", "message"), BAD, ids=[" ".join(words) for words, _, _ in BAD])
def test_a_wrong_call_has_its_message_and_code(millscale, steel, tiny_path, tmp_path, words, code, message):
    given = [] if "--backbone" in words else ["--backbone", tiny_path]
    done = millscale("train", steel.source, *given, "--out", tmp_path / "out", *words)
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert not list(tmp_path.rglob("*.millscale"))


def test_a_class_that_no_fold_shows_is_refused(trained, millscale, steel, tiny_path, tmp_path):
    document = json.loads((trained.folder / "split.json").read_text(encoding="utf-8"))
    first = [name for name in steel.ids if name.startswith(f"{steel.classes[0]}/")]
    folds = [[name for name in fold if name not in first] for fold in document["folds"]]
    (tmp_path / "split.json").write_text(json.dumps({**document, "test": first, "train": [], "folds": folds}))
    out = ("--out", tmp_path / "out", "--split", tmp_path / "split.json")
    done = millscale("train", steel.source, "--backbone", tiny_path, *out)
    assert done.code == 3
    assert f"found none of {steel.classes[0]}, which no model could then answer" in done.err


def test_the_run_of_another_folder_of_that_name_is_not_replaced(trained, millscale, steel, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / f"{Path(steel.source).name}-probe"
    shutil.copytree(trained.folder, folder)
    other = tmp_path / "other" / Path(steel.source).name
    shutil.copytree(steel.source, other)
    done = millscale("train", other)
    assert done.code == 2
    assert f"holds the run on {steel.source}, which this one on {other} would replace" in done.err
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in trained.folder.iterdir())


def test_neither_folder_nor_config(millscale):
    done = millscale("train")
    assert done.code == 2
    assert "Expected a folder of images or --config run.json, found neither" in done.err


def test_a_folder_that_is_not_there(millscale, tmp_path):
    done = millscale("train", tmp_path / "absent", "--out", tmp_path / "out")
    assert done.code == 3
    assert f"{tmp_path / 'absent'}: expected a folder of images, found nothing there" in done.err


def test_images_of_one_class_only(millscale, steel, tmp_path):
    source = tmp_path / "data" / "patches"
    source.mkdir(parents=True)
    for record in steel.records[24:28]:
        (source / record.path.name).write_bytes(record.path.read_bytes())
    done = millscale("train", tmp_path / "data", "--out", tmp_path / "out")
    assert done.code == 3
    assert "expected images of at least 2 classes, found" in done.err


def test_too_few_pieces_of_metal(millscale, steel, tmp_path, tiny_path):
    for record in (steel.records[0], steel.records[12]):
        path = tmp_path / "data" / record.id
        path.parent.mkdir(parents=True)
        path.write_bytes(record.path.read_bytes())
    done = millscale("train", tmp_path / "data", "--backbone", tiny_path, "--out", tmp_path / "out")
    assert done.code == 3
    assert "Expected at least 5 groups for 5 folds, found 2" in done.err


@pytest.mark.parametrize(
    "words",
    [
        ["--seed", 3],
        ["--folds", 4],
        ["--recipe", "scratch"],
        ["--set", "views=1"],
        ["--name", "x"],
        ["--good", "patches"],
    ],
)
def test_config_with_other_options_is_refused_rather_than_half_obeyed(trained, millscale, tmp_path, words):
    done = millscale("train", "--config", trained.folder / "run.json", "--out", tmp_path / "out", *words)
    assert done.code == 2
    assert f"--config repeats a run as it was, found also {words[0]}" in done.err


def test_config_on_other_images_says_that_they_differ(trained, millscale, steel, tmp_path):
    shutil.copytree(steel.source, tmp_path / "images")
    (tmp_path / "images" / steel.ids[0]).unlink()
    done = millscale("train", tmp_path / "images", "--config", trained.folder / "run.json", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert "Careful: these are not the images of" in done.err


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"config": {}}', '{"config": {"recipe": "probe", "data": "x", "sede": 1}}']
)
def test_a_run_json_that_is_none(millscale, tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    done = millscale("train", "--config", tmp_path / "run.json", "--out", tmp_path / "out")
    assert done.code == 2
    assert "run.json" in done.err or "Did you mean 'seed'?" in done.err
