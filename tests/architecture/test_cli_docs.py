"""docs/cli.md lists every verb and every option, because it is written from them."""

import subprocess
import sys
from pathlib import Path

import typer

from millscale.cli.main import app

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


def test_the_page_is_up_to_date():
    command = [sys.executable, str(ROOT / "scripts" / "cli_docs.py"), "--check"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, f"{found.stderr} Run: python scripts/cli_docs.py"
