import sys

import pytest

from millscale.core import plugins
from millscale.core.errors import UsageError


@pytest.fixture
def surfaces(tmp_path, monkeypatch):
    """A plug-in package with three modules, one of them private, that note when they are imported."""
    folder = tmp_path / "plant_surfaces"
    folder.mkdir()
    for name in ("__init__", "steel", "copper", "_shared"):
        (folder / f"{name}.py").write_text(f"NAME = '{name}'\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "plant_surfaces"
    for name in [name for name in sys.modules if name.startswith("plant_surfaces")]:
        del sys.modules[name]


def test_names_are_the_public_files_and_none_is_imported(surfaces):
    assert plugins.names(surfaces) == ["copper", "steel"]
    assert "plant_surfaces.steel" not in sys.modules


def test_a_new_file_is_a_new_name(surfaces, tmp_path):
    (tmp_path / "plant_surfaces" / "zinc.py").write_text("")
    assert plugins.names(surfaces) == ["copper", "steel", "zinc"]


def test_load_imports_the_module_of_that_name(surfaces):
    assert plugins.load(surfaces, "steel").NAME == "steel"


@pytest.mark.parametrize("name", ["stel", "_shared", "steel.x", "../steel", ""])
def test_a_name_that_is_not_registered_is_refused(surfaces, name):
    with pytest.raises(UsageError, match=r"^Unknown plant_surface '.*Available: copper, steel\.$"):
        plugins.load(surfaces, name)


def test_a_near_miss_is_pointed_out():
    with pytest.raises(UsageError, match=r"Unknown backbone 'resnt18'\. Did you mean 'resnet18'\?"):
        plugins.load("millscale.features.backbones", "resnt18")


def test_a_distribution_adds_a_module_by_entry_point(surfaces, tmp_path):
    (tmp_path / "elsewhere.py").write_text("NAME = 'tin'\n")
    info = tmp_path / "plant-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plant\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[plant_surfaces]\ntin = elsewhere\n")
    assert plugins.names(surfaces) == ["copper", "steel", "tin"]
    assert plugins.load(surfaces, "tin").NAME == "tin"
    del sys.modules["elsewhere"]
