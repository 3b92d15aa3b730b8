"""``millscale label``."""

import csv
import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from millscale.data.labels import write_labels
from millscale.pipeline.audited import audited
from millscale.pipeline.summary import silent


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 images of stripes and 6 of dots, neither of which is steel."""
    folder = tmp_path_factory.mktemp("mixed")
    rng = np.random.default_rng(0)
    for k in range(18):
        noise = rng.normal(0, 6, (96, 96))
        stripes = 60 * np.sin(np.arange(96) / 2 + k)[None] + noise
        dots = 120 * (rng.random((96, 96)) < 0.02) + noise
        pixels = np.clip(120 + (stripes if k < 12 else dots), 0, 255).astype(np.uint8)
        PIL.Image.fromarray(pixels).save(folder / f"{k:02}.png")
    return folder


def test_kinds_that_look_alike_share_a_folder(millscale, mixed, tmp_path: Path):
    done = millscale("label", "unknown", mixed, "--out", tmp_path / "kinds", "--json")
    assert done.code == 0, done.err
    kinds = json.loads(done.out)["kinds"]
    stripes = {f"{k:02}.png" for k in range(12)}
    found = [{Path(image).name for image in kind["images"]} for kind in kinds]
    assert all(names <= stripes or not names & stripes for names in found)
    assert set().union(*found) == {f"{k:02}.png" for k in range(18)}
    for kind in kinds:
        assert len(list(Path(kind["folder"]).iterdir())) == len(kind["images"])
        assert kind["nearest"] in {"crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches"}


def test_nothing_is_overwritten(millscale, mixed, tmp_path: Path):
    (tmp_path / "mine.txt").write_text("mine")
    done = millscale("label", "unknown", mixed, "--out", tmp_path)
    assert done.code == 2
    assert "expected a new or empty folder" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_too_few_images_are_refused(millscale, mixed, tmp_path: Path):
    (tmp_path / "two").mkdir()
    for name in ("00.png", "01.png"):
        (tmp_path / "two" / name).write_bytes((mixed / name).read_bytes())
    done = millscale("label", "unknown", tmp_path / "two", "--out", tmp_path / "out")
    assert done.code == 3
    assert "at least 4 images" in done.err


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def fill(path: Path, label=lambda image: image.partition("/")[0]) -> None:
    rows = [{**row, "label": label(row["image"])} for row in rows_of(path)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_asking_filling_and_applying_until_nothing_is_left(millscale, steel, tmp_path: Path):
    groups = audited(steel, silent).groups
    left = len(set(groups.values()))
    asked: list[str] = []
    for turn, count in enumerate((6, 10, 100)):
        known = ["--labels", tmp_path / "few.csv"] if turn else []
        done = millscale(
            "label", "next", steel.source, *known, "--count", count, "--out", tmp_path / "ask.csv", "--json"
        )
        assert done.code == 0, done.err
        document = json.loads(done.out)
        rows = rows_of(tmp_path / "ask.csv")
        assert [row["image"] for row in rows] == [one["image"] for one in document["next"]]
        assert {row["label"] for row in rows} == {""}
        assert all((row["suggestion"] in steel.classes) == bool(turn) for row in rows)
        assert (document["labelled"], document["left"]) == (len(asked), left - len(asked))
        assert len(rows) == min(count, left - len(asked))
        page = (tmp_path / "ask.html").read_text(encoding="utf-8")
        assert all(f'data-image="{row["image"]}"' in page for row in rows)
        asked += [row["image"] for row in rows]
        fill(tmp_path / "ask.csv")
        for _ in range(2):  # the second time changes nothing
            done = millscale(
                "label",
                "apply",
                tmp_path / "ask.csv",
                "--labels",
                tmp_path / "few.csv",
                "--data",
                steel.source,
                "--json",
            )
            assert json.loads(done.out)["labels"] == len(asked), done.err
    done = millscale("label", "next", steel.source, "--out", tmp_path / "x.csv", "--count", 99)
    assert f"left without a label: {left} for 99 wanted" in done.err
    assert len({groups[image] for image in asked}) == len(asked) == left
    done = millscale("label", "next", steel.source, "--labels", tmp_path / "few.csv", "--out", tmp_path / "ask.csv")
    assert done.code == 3
    assert "nothing left to ask" in done.err


def test_answers_that_are_not_applied_are_not_overwritten(millscale, steel, tmp_path: Path):
    ask = ("label", "next", steel.source, "--count", 3, "--out", tmp_path / "ask.csv")
    assert millscale(*ask).code == 0
    assert millscale(*ask).code == 0  # nothing was filled in yet
    fill(tmp_path / "ask.csv")
    filled = (tmp_path / "ask.csv").read_text()
    done = millscale(*ask)
    assert done.code == 2
    assert "found 3. Run `millscale label apply`" in done.err
    assert (tmp_path / "ask.csv").read_text() == filled


@pytest.mark.parametrize("name", ["Cr", "crazing"])
def test_applied_answers_are_known_by_whatever_name(millscale, tmp_path: Path, name: str):
    """Class folders of NEU's short names, and a file name of which tools write the accent as a letter of its own."""
    for k in range(12):
        path = tmp_path / "set" / ("Cr", "Sc")[k % 2] / f"stu\u0308ck {k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(k).integers(0, 255, (64, 64), dtype=np.uint8)
        PIL.Image.fromarray(pixels).save(path)
    ask = ("label", "next", tmp_path / "set", "--count", 2, "--out", tmp_path / "ask.csv")
    assert millscale(*ask).code == 0
    fill(tmp_path / "ask.csv", lambda image: name if image.startswith("Cr") else "scratches")
    few = ("--labels", tmp_path / "few.csv")
    done = millscale("label", "apply", tmp_path / "ask.csv", *few, "--data", tmp_path / "set")
    assert done.code == 0, done.err
    done = millscale(*ask, *few)
    assert "not yet applied" not in done.err


def test_labels_beside_a_folder_of_unlabelled_images_are_known(millscale, steel, tmp_path: Path):
    for place, record in enumerate(steel.records):
        folder = "unlabelled" if place % 6 else str(record.label)
        target = tmp_path / "plant" / folder / record.path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(record.path.read_bytes())
    done = millscale("label", "next", tmp_path / "plant", "--count", 4, "--out", tmp_path / "ask.csv", "--json")
    document = json.loads(done.out)
    assert document["labelled"] == 12
    assert all(one["image"].startswith("unlabelled/") for one in document["next"])


def test_applying_copies_into_class_folders(millscale, steel, tmp_path: Path):
    (tmp_path / "filled.csv").write_text("image,label\ncrazing/crazing_00001.bmp,crazing\n")
    words = ("label", "apply", tmp_path / "filled.csv", "--labels", tmp_path / "few.csv", "--folders", tmp_path / "out")
    done = millscale(*words)
    assert (done.code, "Expected --data" in done.err) == (2, True)
    done = millscale(*words, "--data", steel.source)
    assert done.code == 0, done.err
    assert (tmp_path / "out" / "crazing" / "crazing_00001.bmp").is_file()


def test_a_refused_answer_leaves_the_labels_as_they_were(millscale, steel, tmp_path: Path):
    few = tmp_path / "few.csv"
    few.write_text("image,label\ncrazing/crazing_00001.bmp,crazing\n")
    for text, found in (("crazing_00001.bmp,patches", "--replace"), ("crazing_00002.bmp,Crazin", "nearly 'crazing'")):
        (tmp_path / "filled.csv").write_text(f"image,label\ncrazing/{text}\ncrazing/crazing_00003.bmp,crazing\n")
        done = millscale("label", "apply", tmp_path / "filled.csv", "--labels", few, "--data", steel.source)
        assert done.code in (2, 3)
        assert found in done.err
        assert few.read_text() == "image,label\ncrazing/crazing_00001.bmp,crazing\n"


def test_wrong_labels_are_listed_and_corrected(millscale, steel, tmp_path: Path):
    wrong = {"crazing/crazing_00003.bmp": "patches", "scratches/scratches_00005.bmp": "crazing"}
    labels = {record.id: wrong.get(record.id, str(record.label)) for record in steel.records}
    write_labels(tmp_path / "all.csv", labels)
    out = tmp_path / "checked"
    done = millscale("label", "check", steel.source, "--labels", tmp_path / "all.csv", "--out", out, "--json")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert set(wrong) <= {row["image"] for row in document["ranking"][:4]}
    assert sorted(row["image"] for row in document["ranking"]) == sorted(steel.ids)
    assert [row["image"] for row in rows_of(out / "ranking.csv")] == [row["image"] for row in document["ranking"]]
    assert [row["image"] for row in rows_of(out / "suspects.csv")] == document["suspects"]
    assert "labelled" in (out / "suspects.html").read_text(encoding="utf-8")
    done = millscale("label", "apply", out / "suspects.csv", "--suggestions", "--labels", tmp_path / "all.csv")
    assert done.code == 0, done.err
    corrected = {row["image"]: row["label"] for row in rows_of(tmp_path / "all.csv")}
    assert corrected == labels | {row["image"]: row["suggestion"] for row in rows_of(out / "suspects.csv")}
    assert all(corrected[image] != label for image, label in wrong.items())


@pytest.mark.parametrize(
    ("text", "found"),
    [("", "found 0 usable labelled images of 0"), ("crazing/crazing_00001.bmp,rust\n", "labelled images of 1")],
)
def test_labels_of_fewer_than_two_classes_cannot_be_checked(millscale, steel, tmp_path: Path, text, found):
    (tmp_path / "few.csv").write_text(f"image,label\n{text}")
    done = millscale("label", "check", steel.source, "--labels", tmp_path / "few.csv", "--out", tmp_path / "out")
    assert done.code == 3
    assert "expected images of at least 2 classes" in done.err
    assert found in done.err
    assert not (tmp_path / "out").exists()


def test_too_few_surfaces_to_judge_one_by_the_others_are_refused(millscale, steel, tmp_path: Path):
    for record in (steel.records[0], steel.records[-1]):
        target = tmp_path / "two" / record.id
        target.parent.mkdir(parents=True)
        target.write_bytes(record.path.read_bytes())
    done = millscale("label", "check", tmp_path / "two", "--out", tmp_path / "out")
    assert done.code == 3
    assert "expected at least 5 groups of images that share no pixels, found 2" in done.err
