"""``millscale label``."""

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest


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
