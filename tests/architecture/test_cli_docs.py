"""docs/cli.md lists every verb and every option, because it is written from them."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from millscale.cli.main import app
from millscale.core import plugins
from millscale.pipeline.config import RECIPES

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "cli.md"


def walk(command, name="millscale"):
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
    for verb, below in (inner or {}).items():
        yield from walk(below, f"{name} {verb}")


def test_every_verb_and_option_is_documented():
    sections = dict(part.split("\n", 1) for part in PAGE.read_text(encoding="utf-8").split("\n## ")[1:])
    verbs = dict(walk(typer.main.get_command(app)))
    assert list(sections) == list(verbs)
    assert {"millscale train", "millscale inspect", "millscale data check"} <= set(verbs)
    for name, command in verbs.items():
        assert command.help.strip() in sections[name], name
        for parameter in command.params:
            assert parameter.help, f"{name}: {parameter.name} is not explained"
            assert parameter.help.replace("|", "\\|") in sections[name]
            for spelling in parameter.opts if parameter.param_type_name == "option" else []:
                assert f"`{spelling}" in sections[name], f"{name} {spelling}"


@pytest.mark.parametrize("recipe", plugins.names(RECIPES))
def test_every_option_of_a_recipe_is_documented(recipe):
    page = PAGE.read_text(encoding="utf-8").partition("# Options of the recipes")[2]
    (section,) = [part for part in page.split("\n### ") if part.startswith(f"{recipe}\n")]
    for option in dataclasses.fields(plugins.load(RECIPES, recipe).Config):
        (line,) = [line for line in section.splitlines() if line.startswith(f"| `{option.name}` |")]
        assert len(line.split("|")[2].strip()) > 5


def test_the_page_is_up_to_date():
    command = [sys.executable, str(ROOT / "scripts" / "cli_docs.py"), "--check"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, f"{found.stderr} Run: python scripts/cli_docs.py"
