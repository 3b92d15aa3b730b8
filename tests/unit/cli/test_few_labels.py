"""``train --labels`` on synthetic steel, of which a few images keep their label."""

import csv
import json
import shutil

import pytest

from millscale.data.labels import write_labels
from millscale.data.read import read
from millscale.runtime.bundle import open_bundle
from millscale.runtime.inspector import Inspector


def some(steel, per_class):
    labels, counts = {}, {}
    for record in steel.records:
        counts[record.label] = counts.get(record.label, 0) + 1
        if counts[record.label] <= per_class:
            labels[record.id] = str(record.label)
    return labels


@pytest.fixture(scope="module")
def few(tmp_path_factory, steel):
    """A labels file with five images of each class."""
    path = tmp_path_factory.mktemp("labels") / "few.csv"
    write_labels(path, some(steel, 5))
    return path


@pytest.fixture(scope="module")
def run(millscale, steel, few, tiny_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("semi")
    done = millscale("train", steel.source, "--labels", few, "--backbone", tiny_path, "--out", folder, "--json")
    assert done.code == 0, done.err
    return done, folder


def test_the_labels_of_the_file_are_judged_and_no_other(run, few):
    done, folder = run
    assert json.loads(done.out)["metrics"]["images"] <= 30
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        judged = {row["image"] for row in csv.DictReader(file)}
    assert judged <= set(read_labels_of(few))


def read_labels_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return {row["image"]: row["label"] for row in csv.DictReader(file)}


def test_run_json_says_how_it_was_learnt(run, steel):
    document = json.loads((run[1] / "run.json").read_text(encoding="utf-8"))
    assert document["config"]["recipe"] == "semi"
    trained = document["trained"]
    assert (trained["labels"], trained["unlabelled"]) == (30, len(steel) - 30)
    assert trained["errors"][trained["head"]] == min(trained["errors"].values())


def test_the_run_is_repeated_bit_for_bit(run, millscale, tmp_path):
    done = millscale("train", "--config", run[1], "--out", tmp_path, "--json")
    assert done.code == 0, done.err
    bundles = [next(folder.glob("*.millscale")) for folder in (run[1], tmp_path)]
    assert open_bundle(bundles[0]).members == open_bundle(bundles[1]).members


def test_one_label_of_each_class_makes_a_bundle_that_nothing_measured(millscale, steel, tiny_path, tmp_path):
    write_labels(tmp_path / "one.csv", some(steel, 1))
    words = ("--labels", tmp_path / "one.csv", "--backbone", tiny_path, "--out", tmp_path / "run", "--json")
    done = millscale("train", steel.source, *words)
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert document["metrics"] == {}
    assert not (tmp_path / "run" / "report.html").exists()
    inspector = Inspector.open(document["bundle"])
    assert inspector.card.protocol.startswith("nothing held out")
    assert inspector.inspect(steel.records[0].path).probs is not None


def test_an_unlabelled_folder_is_learnt_from_too(millscale, steel, few, tiny_path, tmp_path):
    labels = read_labels_of(few)
    for record in steel.records:
        target = tmp_path / "data" / labels.get(record.id, "unlabelled") / record.path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(record.path, target)
    done = millscale("train", tmp_path / "data", "--backbone", tiny_path, "--out", tmp_path / "run", "--json")
    assert done.code == 0, done.err
    trained = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))["trained"]
    assert (trained["recipe"], trained["labels"]) == ("semi", 30)


def test_no_unlabelled_image_is_told(millscale, steel, tiny_path, tmp_path):
    write_labels(tmp_path / "all.csv", {record.id: str(record.label) for record in steel.records})
    words = ("--labels", tmp_path / "all.csv", "--backbone", tiny_path, "--out", tmp_path / "run")
    done = millscale("train", steel.source, "--recipe", "semi", *words)
    assert done.code == 3
    assert "found none among 72" in done.err
    done = millscale("train", steel.source, *words)
    assert done.code == 0
    assert "all.csv labels all images, so the recipe is probe" in done.err


def test_a_bad_labels_file_stops_before_any_work(millscale, steel, tmp_path):
    (tmp_path / "bad.csv").write_text("image,label\nnowhere.png,crack\n", encoding="utf-8")
    done = millscale("train", steel.source, "--labels", tmp_path / "bad.csv", "--out", tmp_path / "run")
    assert done.code == 3
    assert "nowhere.png" in done.err
    assert not (tmp_path / "run").exists()


def test_the_images_of_the_source_are_those_of_the_bundle(run, steel):
    card = open_bundle(next(run[1].glob("*.millscale"))).card
    assert card.dataset["images"] == len(read(steel.source))
    assert card.provenance["labels"] == 30


def test_every_other_image_gets_a_suggestion_the_surest_first(millscale, steel, few, tiny_path, tmp_path):
    words = ("--labels", few, "--backbone", tiny_path, "--out", tmp_path / "suggested.csv", "--json")
    done = millscale("label", "suggest", steel.source, *words)
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert set(document["suggestions"]) == set(steel.ids) - set(read_labels_of(few))
    assert set(document["suggestions"].values()) <= set(steel.classes)
    assert 0 <= document["wrong"] <= document["judged"] <= 30
    with (tmp_path / "suggested.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["image"]: row["suggestion"] for row in rows} == document["suggestions"]
    sure = [float(row["confidence"]) for row in rows]
    assert sure == sorted(sure, reverse=True)
    assert {row["label"] for row in rows} == {""}


def test_suggestions_become_labels_when_a_person_takes_them(millscale, steel, few, tiny_path, tmp_path):
    millscale(
        "label", "suggest", steel.source, "--labels", few, "--backbone", tiny_path, "--out", tmp_path / "suggested.csv"
    )
    grown = shutil.copyfile(few, tmp_path / "grown.csv")
    done = millscale("label", "apply", tmp_path / "suggested.csv", "--labels", grown, "--suggestions")
    assert done.code == 0, done.err
    assert set(read_labels_of(grown)) == set(steel.ids)


def test_suggestions_that_a_person_answered_are_not_overwritten(millscale, steel, few, tiny_path, tmp_path):
    (tmp_path / "s.csv").write_text(f"image,label,suggestion\n{steel.ids[-1]},crazing,patches\n", encoding="utf-8")
    words = ("--labels", few, "--backbone", tiny_path, "--out", tmp_path / "s.csv")
    done = millscale("label", "suggest", steel.source, *words)
    assert done.code == 2
    assert "label apply" in done.err


def test_a_labels_file_says_nothing_of_boxes(millscale, steel, few, tmp_path):
    done = millscale("train", steel.source, "--labels", few, "--task", "detect", "--out", tmp_path)
    assert done.code == 2
    assert "not where" in done.err


def test_nothing_to_suggest_is_told(millscale, steel, tmp_path):
    write_labels(tmp_path / "all.csv", {record.id: str(record.label) for record in steel.records})
    done = millscale("label", "suggest", steel.source, "--labels", tmp_path / "all.csv", "--out", tmp_path / "s.csv")
    assert done.code == 3
    assert "nothing to suggest" in done.err


def test_the_curve_has_a_row_for_each_size_and_a_page(millscale, steel, tiny_path, tmp_path):
    words = ("--labels", 1, "--labels", 4, "--draws", 2, "--backbone", tiny_path, "--out", tmp_path / "page.html")
    done = millscale("label", "curve", steel.source, *words, "--json")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert [(point["labels"], len(point["head"])) for point in document["points"]] == [(1, 2), (4, 2)]
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<tr>") == 3
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")


def test_a_curve_of_more_labels_than_images_is_refused(millscale, steel, tiny_path, tmp_path):
    words = ("--labels", 50, "--backbone", tiny_path, "--out", tmp_path / "page.html")
    done = millscale("label", "curve", steel.source, *words)
    assert done.code == 3
    assert "Ask for fewer labels" in done.err
