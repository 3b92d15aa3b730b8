"""What an import may cost, and on which floor it stands. Each test asks a fresh interpreter."""

import json
import resource
import subprocess
import sys

import pytest

HEAVY = [
    "numpy", "PIL", "onnxruntime", "pydantic", "onnx", "scipy", "sklearn", "matplotlib", "jinja2",
    "torch", "torchvision", "safetensors", "pandas", "kagglehub",
]  # fmt: skip
ABOVE_SERVE = [
    "onnx",
    "scipy",
    "sklearn",
    "matplotlib",
    "jinja2",
    "torch",
    "torchvision",
    "pandas",
]
BLOCKER = """
import importlib.abc, sys
class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"blocked: {name}", name=name)
sys.meta_path.insert(0, Blocker())
"""


def python(script):
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


def loaded_by(script):
    """Which heavy packages a script loads."""
    found = python(f"{script}\nimport json, sys\nprint(json.dumps(sorted({set(HEAVY)!r} & set(sys.modules))))")
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "script",
    [
        "import millscale; dir(millscale); millscale.__version__",
        "from millscale.cli.main import app",
        "from millscale.core import plugins; plugins.names('millscale.features.backbones')",
        "from millscale.core import plugins; plugins.names('millscale.pipeline.recipes')",
        "from millscale.core import plugins; plugins.names('millscale.data.formats')",
        "from millscale.core import plugins; plugins.names('millscale.runtime.backends')",
    ],
)
def test_nothing_heavy_is_loaded_by(script):
    assert loaded_by(script) == []


HELP = "from millscale.cli.main import app; app(['{}'], prog_name='millscale', standalone_mode=False)"


def test_help_loads_nothing_heavy_and_is_quick():
    assert loaded_by(HELP.format("--help")) == []
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    assert python(HELP.format("--help")).returncode == 0
    # The promise is 0.3 s on an idle machine; a shared one needs room.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 0.8


@pytest.mark.parametrize("verb", ["train", "inspect", "evaluate", "cluster", "data", "demo", "doctor"])
def test_the_help_of_a_verb_loads_nothing_heavy(verb):
    script = HELP.format(f"{verb}', '--help")
    assert set(loaded_by(script)) <= {"pydantic"}  # typer loads it to read a verb's words


def blocked(names, script):
    return python(f"BLOCKED = {set(names)!r}\n{BLOCKER}\n{script}")


IMPORT_ALL = """
import importlib, pkgutil
for layer in {layers!r}:
    package = importlib.import_module(f"millscale.{{layer}}")
    for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(info.name)
"""


@pytest.mark.parametrize("layer", ["core", "imaging", "data", "metrics", "runtime"])
def test_the_serve_floor_stands_without_any_learning_library(layer):
    found = blocked(ABOVE_SERVE, IMPORT_ALL.format(layers=[layer]))
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize("layer", ["features", "learn", "report", "pipeline", "cli"])
def test_the_learn_floor_stands_without_torch(layer):
    found = blocked(["torch", "torchvision", "safetensors"], IMPORT_ALL.format(layers=[layer]))
    assert found.returncode == 0, found.stderr


def test_inspecting_needs_the_serve_floor_only(trained, steel):
    image = steel.records[0].path
    script = f"import sys; sys.argv = ['millscale', 'inspect', {str(trained.bundle)!r}, {str(image)!r}, '--json']"
    found = blocked(ABOVE_SERVE, f"{script}\nfrom millscale.cli.main import main; main()")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["image"] == str(image)


@pytest.mark.parametrize("floor", ["learn", "train"])
def test_a_missing_floor_is_told_and_no_traceback_shown(floor, steel, tmp_path):
    recipe, missing = {"learn": ("probe", "sklearn"), "train": ("finetune", "torch")}[floor]
    words = ["millscale", "train", steel.source, "--recipe", recipe, "--out", str(tmp_path)]
    found = blocked([missing], f"import sys; sys.argv = {words!r}\nfrom millscale.cli.main import main; main()")
    assert found.returncode == 2
    assert f"this needs '{missing}" in found.stderr
    assert "Traceback" not in found.stderr
