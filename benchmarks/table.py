"""One table, as Markdown to read and JSON to compare, with the machine and versions it was measured on."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("millscale", "numpy", "onnxruntime", "scikit-learn", "Pillow")


@dataclass
class Table:
    """Rows of measured figures."""

    name: str
    title: str
    columns: Sequence[str]
    notes: Sequence[str] = ()
    rows: list[list[str]] = field(default_factory=list)

    def add(self, *values: object) -> None:
        self.rows.append([str(value) for value in values])
        print(" | ".join(self.rows[-1]), file=sys.stderr, flush=True)

    def save(self) -> Path:
        RESULTS.mkdir(exist_ok=True)
        document = {"title": self.title, "columns": list(self.columns), "rows": self.rows, "machine": machine()}
        (RESULTS / f"{self.name}.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
        path = RESULTS / f"{self.name}.md"
        path.write_text(self._markdown())
        return path

    def _markdown(self) -> str:
        lines = [f"# {self.title}", "", "| " + " | ".join(self.columns) + " |", "|---" * len(self.columns) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        lines += ["", *(f"- {note}" for note in self.notes)]
        lines += ["- " + ", ".join(f"{key} {value}" for key, value in machine().items()), ""]
        return "\n".join(lines)


def machine() -> dict[str, str]:
    found = {name: version(name) for name in _PACKAGES}
    return {"processor": _processor(), "cores": str(os.cpu_count()), "python": platform.python_version(), **found}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def data_folder(name: str) -> Path:
    """A real data set below ``MILLSCALE_DATA``; ends with what to do where it is missing."""
    chosen = os.environ.get("MILLSCALE_DATA")
    if not chosen or not (Path(chosen) / name).is_dir():
        raise SystemExit(f"This needs the data set {name}: set MILLSCALE_DATA to the folder that holds it.")
    return Path(chosen) / name


def millscale(*arguments: str, cache: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, with this cache."""
    command = [sys.executable, "-m", "millscale", *arguments]
    environment = {**os.environ, "MILLSCALE_CACHE": str(cache)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
