"""``millscale cluster``, as a plant would call it: a folder, no labels."""

import csv
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import millscale as ms
from millscale.data.manifest import Manifest

STRIPES, DOTS = range(14), range(14, 24)


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """14 images of stripes and 10 of dots in one folder, their names without sense."""
    folder = tmp_path_factory.mktemp("plant")
    rng = np.random.default_rng(0)
    for k in range(24):
        noise = rng.normal(0, 6, (96, 96))
        stripes = 60 * np.sin(np.arange(96) / 2 + k)[None] + noise
        dots = 120 * (rng.random((96, 96)) < 0.02) + noise
        pixels = np.clip(120 + (stripes if k in STRIPES else dots), 0, 255).astype(np.uint8)
        PIL.Image.fromarray(pixels).save(folder / f"IMG {k:02} ü.png")
    return folder


@pytest.fixture(scope="module")
def grouped(millscale, plant, tiny_path, tmp_path_factory: pytest.TempPathFactory):
    """The document and the folder of ``cluster --json``."""
    out = tmp_path_factory.mktemp("out")
    done = millscale("cluster", plant, "--backbone", tiny_path, "--out", out, "--folders", out / "kinds", "--json")
    assert done.code == 0, done.err
    return json.loads(done.out), out


def numbers(folder: Path, document: dict[str, object]) -> list[int]:
    assignments = document["assignments"]
    assert isinstance(assignments, dict)
    return [assignments[path.name] for path in sorted(folder.iterdir())]


def test_unlabelled_images_are_grouped_by_their_looks(grouped, plant):
    document, _ = grouped
    found = numbers(plant, document)
    assert document["clusters"] == max(found)
    assert not {found[k] for k in STRIPES} & {found[k] for k in DOTS}
    assert document["accuracy"] is None
    assert document["nmi"] is None
    assert [entry["clusters"] for entry in document["evidence"]] == list(range(2, 16))
    assert len(document["cluster_stability"]) == document["clusters"]


def test_each_folder_holds_its_cluster_and_becomes_a_class(grouped, plant):
    document, out = grouped
    again = ms.read(out / "kinds")
    assert {record.path.name: record.label for record in again.records} == {
        path.name: f"cluster_{number}"
        for path, number in zip(sorted(plant.iterdir()), numbers(plant, document), strict=True)
    }


def test_the_table_lists_every_image(grouped, plant):
    document, out = grouped
    rows = list(csv.DictReader((out / "clusters.csv").read_text(encoding="utf-8").splitlines()))
    assert [(row["image"], int(row["cluster"])) for row in rows] == list(document["assignments"].items())
    assert all(-1 <= float(row["typicality"]) <= 1 and -1 <= float(row["silhouette"]) <= 1 for row in rows)


def test_the_page_stands_alone_and_shows_the_evidence(grouped):
    document, out = grouped
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "http" not in page.replace("http-equiv", "")
    assert "Against the known labels" not in page
    shown = [float(value) for value in re.findall(r'<td class="n">(-?0\.\d{3})</td><td style', page)]
    assert shown == pytest.approx([entry["silhouette"] for entry in document["evidence"]], abs=6e-4)
    assert page.count("Most typical first") == document["clusters"]
    assert {path.name for path in out.glob("*.png")} == {"report-map.png", "report-members.png", "report-number.png"}


def test_the_run_is_told(grouped, plant):
    document, out = grouped
    run = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert run["config"]["seed"] == 0
    assert run["dataset"] == ms.read(plant).fingerprint
    assert run["clusters"]["assignments"] == document["assignments"]


def test_known_labels_score_and_are_not_used(millscale, steel: Manifest, tiny_path, tmp_path: Path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for k, record in enumerate(steel.records):
        shutil.copyfile(record.path, flat / f"{k:03}.bmp")
    options = ("--clusters", "6", "--backbone", tiny_path, "--json")
    known = json.loads(millscale("cluster", steel.source, *options, "--out", tmp_path / "a").out)
    blind = json.loads(millscale("cluster", flat, *options, "--out", tmp_path / "b").out)
    assert list(known["assignments"].values()) == list(blind["assignments"].values())
    assert known["evidence"] == []
    assert 1 / 6 < known["accuracy"] <= 1
    assert blind["accuracy"] is None
    page = (tmp_path / "a" / "report.html").read_text(encoding="utf-8")
    assert "Against the known labels" in page
    assert "rolled-in_scale" in page


@pytest.mark.parametrize(
    "options", [("--method", "spectral"), ("--method", "hdbscan"), ("--adapt",), ("--clusters", "24")]
)
def test_every_way_ends_well(millscale, plant, tiny_path, tmp_path: Path, options):
    done = millscale("cluster", plant, "--backbone", tiny_path, "--out", tmp_path, *options)
    assert done.code == 0, done.err
    assert "Stability" in done.err
    assert (tmp_path / "report.html").is_file()


def test_the_same_seed_gives_the_same_clusters(grouped, plant, tiny_path, tmp_path: Path):
    document, _ = grouped
    again = ms.cluster(ms.read(plant), options={"backbone": str(tiny_path)}, out=tmp_path)
    assert again.assignments == document["assignments"]
    assert again.to_json()["evidence"] == document["evidence"]


def test_images_that_cannot_be_read_are_left_out_and_black_ones_told(millscale, plant, tiny_path, tmp_path: Path):
    folder = tmp_path / "mixed"
    shutil.copytree(plant, folder)
    whole = (plant / "IMG 00 ü.png").read_bytes()
    (folder / "half.png").write_bytes(whole[: len(whole) // 2])
    PIL.Image.new("L", (96, 96)).save(folder / "black.png")
    done = millscale("cluster", folder, "--backbone", tiny_path, "--out", tmp_path / "out", "--json")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert document["images"] == 25
    assert set(document["assignments"]) == {path.name for path in plant.iterdir()} | {"black.png"}
    assert "half.png" in done.err
    assert "black.png" in {problem["path"] for problem in document["problems"]}


def few(folder: Path, plant: Path, count: int) -> Path:
    folder.mkdir()
    for path in sorted(plant.iterdir())[:count]:
        shutil.copyfile(path, folder / path.name)
    return folder


def test_four_images_are_enough_and_three_are_not(millscale, plant, tiny_path, tmp_path: Path):
    options = ("--backbone", tiny_path, "--out", tmp_path / "out")
    assert millscale("cluster", few(tmp_path / "four", plant, 4), *options).code == 0
    done = millscale("cluster", few(tmp_path / "three", plant, 3), *options)
    assert done.code == 3
    assert "at least 4 images" in done.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--clusters", "25"), "at most one for each of the 24 images"),
        (("--clusters", "1"), "expected 2 or more"),
        (("--method", "kmean"), "spherical_kmeans"),
        (("--method", "hdbscan", "--clusters", "3"), "finds the number itself"),
        (("--map", "tsne"), "Unknown map 'tsne'"),
    ],
)
def test_what_cannot_be_done_is_refused(millscale, plant, tmp_path: Path, options, words):
    done = millscale("cluster", plant, "--out", tmp_path / "out", *options)
    assert done.code == 2
    assert words in done.err
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten(millscale, plant, tmp_path: Path):
    (tmp_path / "mine.txt").write_text("mine")
    done = millscale("cluster", plant, "--out", tmp_path / "out", "--folders", tmp_path)
    assert done.code == 2
    assert "expected a new or empty folder" in done.err


def test_a_map_without_its_package_is_refused(millscale, plant, tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    done = millscale("cluster", plant, "--map", "umap", "--out", tmp_path / "out")
    assert done.code == 2
    assert 'pip install "millscale[umap]"' in done.err
