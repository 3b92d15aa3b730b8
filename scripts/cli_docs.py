"""Write docs/cli.md from the command line itself; ``--check`` only compares."""

import inspect
import re
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import typer

from millscale.cli.main import app
from millscale.core import plugins
from millscale.pipeline.config import RECIPES

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"
INTRODUCTION = """# The command line

Written by `scripts/cli_docs.py` from the program itself; change it there.

With `--json`, standard output holds one JSON document (`inspect`, `explain`: one a line) and nothing else; progress and
messages go to standard error. Exit codes: 0 fine · 1 something was not passed, only with
`--fail-on-defect` · 2 usage · 3 data · 4 model · 130 interrupted ·
141 nobody reads on, as after `| head`.
"""

RECIPE_HEADING = """# Options of the recipes

For `millscale train --recipe RECIPE --set NAME=VALUE`.
"""


def commands(command: Any, name: str) -> list[tuple[str, Any]]:
    """(full name, command) of every verb below, groups themselves left out."""
    inner = getattr(command, "commands", None)
    if inner is None:
        return [(name, command)]
    return [found for verb, below in inner.items() for found in commands(below, f"{name} {verb}")]


def page() -> str:
    """The whole document."""
    verbs = commands(typer.main.get_command(app), "millscale")
    recipes = [recipe_section(name) for name in plugins.names(RECIPES)]
    return "\n".join([INTRODUCTION, *(section(name, command) for name, command in verbs), RECIPE_HEADING, *recipes])


def recipe_section(name: str) -> str:
    """The options of one recipe, from its configuration's fields and docstrings."""
    recipe = plugins.load(RECIPES, name)
    lines = [f"### {name}", "", f"{recipe.DESCRIPTION[0].upper()}{recipe.DESCRIPTION[1:]}.", ""]
    lines += ["| | | default |", "|---|---|---|"]
    explained = {key: text for kind in reversed(recipe.Config.__mro__) for key, text in attributes(kind).items()}
    for option in fields(recipe.Config):
        cell = explained[option.name].replace("|", "\\|")
        lines.append(f"| `{option.name}` | {cell} | `{getattr(recipe.Config(), option.name)}` |")
    return "\n".join([*lines, ""])


def attributes(kind: type) -> dict[str, str]:
    """``{name: text}`` of the attributes that a class's docstring explains."""
    page = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2]
    entries = re.findall(r"(?m)^ {4}(\w+): (.*(?:\n {8}.*)*)", page)
    return {name: " ".join(text.split()).replace("``", "`") for name, text in entries}


def section(name: str, command: Any) -> str:
    shown = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    arguments = [parameter for parameter in shown if parameter.param_type_name == "argument"]
    words = " ".join([name, *map(spelling, arguments), "[OPTIONS]"])
    lines = [f"## {name}", "", command.help.strip(), "", "```", words, "```", ""]
    if shown:
        rows = [row(parameter) for parameter in sorted(shown, key=lambda p: p not in arguments)]
        lines += ["| | | default |", "|---|---|---|", *rows, ""]
    return "\n".join(lines)


def row(parameter: Any) -> str:
    cells = (f"`{spelling(parameter)}`", parameter.help or "", default(parameter))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def spelling(parameter: Any) -> str:
    """``DIR``, ``--json`` or ``--seed SEED``."""
    value = str(parameter.metavar or parameter.name.upper())
    if parameter.param_type_name == "argument":
        return value
    names = " / ".join([*parameter.opts, *parameter.secondary_opts])
    return names if parameter.is_flag else f"{names} {value}"


def default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    silent = parameter.default is None or parameter.default is False
    return "" if silent else f"`{parameter.default}`"


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        same = PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page()
        sys.exit(0 if same else f"{PAGE} is not up to date")
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
