"""Write docs/cli.md from the command line itself; ``--check`` only compares."""

import sys
from pathlib import Path
from typing import Any

import typer

from millscale.cli.main import app

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"
INTRODUCTION = """# The command line

Written by `scripts/cli_docs.py` from the program itself; change it there.

With `--json`, standard output holds one JSON document (`inspect`: one a line) and nothing else; progress and
messages go to standard error. Exit codes: 0 fine · 1 a defect was found, only with `--fail-on-defect` ·
2 usage · 3 data · 4 model.
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
    return "\n".join([INTRODUCTION, *(section(name, command) for name, command in verbs)])


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
