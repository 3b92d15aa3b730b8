"""Put the measured tables into README.md, between its two markers (``make docs``); figures are never typed."""

import json
import textwrap
from pathlib import Path

ROOT = Path(__file__).parent.parent
START, END = "<!-- results -->", "<!-- end of results -->"
SHOWN = (
    "classification",
    "few_labels",
    "labelling",
    "label_errors",
    "clustering",
    "anomaly",
    "anomaly_peer",
    "anomaly_speed",
    "openset",
    "detection",
    "detection_folds",
    "detection_leak",
    "detection_agreement",
    "detection_speed",
    "detection_windows",
    "audit",
    "growth",
    "speed",
)
LEFT_TO_DETAILS = {
    "openset": ("left out",),
    "clustering": ("spectral", "hdbscan", "yes"),
    "detection": ("leaky", "clean", "consensus"),
}
"""Rows that only the table's own page shows, by a word in them."""


def main() -> None:
    """Rewrite the part of the README between the markers."""
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(START)
    after = rest.partition(END)[2]
    tables = "\n\n".join(_table(name) for name in SHOWN if (ROOT / f"benchmarks/results/{name}.json").is_file())
    readme.write_text(f"{before}{START}\n\n{tables}\n\n{END}{after}", encoding="utf-8")


def _table(name: str) -> str:
    found = json.loads((ROOT / f"benchmarks/results/{name}.json").read_text(encoding="utf-8"))
    lines = [f"**{found['title']}** ([details](benchmarks/results/{name}.md))", ""]
    lines += ["| " + " | ".join(found["columns"]) + " |", "|---" * len(found["columns"]) + "|"]
    left = LEFT_TO_DETAILS.get(name, ())
    rows = [row for row in found["rows"] if not any(word in cell for word in left for cell in row)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    page = (ROOT / f"benchmarks/results/{name}.md").read_text(encoding="utf-8")
    notes = [line[2:] for line in page.splitlines() if line.startswith("- ") and not line.startswith("- processor")]
    return "\n".join([*lines, "", *textwrap.wrap(" ".join(notes), 120, break_on_hyphens=False)]).rstrip()


if __name__ == "__main__":
    main()
