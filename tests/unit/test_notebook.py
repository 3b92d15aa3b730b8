"""The example notebook runs from top to bottom and shows what it says."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "examples" / "neu_classification.ipynb"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_notebook_trains_and_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILLSCALE_DATA", raising=False)
    monkeypatch.setenv("STEEL_PER_CLASS", "16")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = "".join(output.get("text", "") + str(output.get("data", {}).get("text/plain", "")) for output in outputs)
    assert "independent groups of 96 images" in shown
    assert "Verdict(outcome=" in shown
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
