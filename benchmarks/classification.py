"""Group-clean accuracy and whole-run time of ``millscale train``, cold and with cached features."""

import json
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.table import Table, data_folder, millscale

RUNS = (
    ("neu-cls", "millscale_s", 8),
    ("neu-cls", "millscale_s", 1),
    ("neu-cls", "squeezenet1_1", 8),
    ("neu-cls", "resnet18", 8),
    ("neu-cls", "resnet18+squeezenet1_1", 8),
    ("x-sdd", "millscale_s", 8),
    ("x-sdd", "squeezenet1_1", 8),
    ("x-sdd", "resnet18+squeezenet1_1", 8),
)
SEEDS = (0, 1, 2, 3, 4)


def main() -> None:
    table = Table(
        "classification",
        "Frozen features: group-clean 5-fold accuracy and time of the whole `millscale train`",
        ("data", "backbone", "views", "accuracy, mean ± sd over 5 seeds", "wrong, each seed", "95 % (seed 0)",
         "cold, s", "cached, s (median)"),
        notes=(
            "Folds keep images that share pixels together; seeds change the folds.",
            "Cold: empty cache: audit, features, five folds, bundle, parity check, report. Cached: the same again.",
            "millscale_s saw the X-SDD images (never their labels) when it was distilled, and no NEU image.",
        ),
    )  # fmt: skip
    for data, backbone, views in RUNS:
        with tempfile.TemporaryDirectory() as folder:
            table.add(data, backbone, views, *_measure(data_folder(data), backbone, views, Path(folder)))
    table.save()


def _measure(data: Path, backbone: str, views: int, folder: Path) -> list[str]:
    documents, seconds = [], []
    for seed in SEEDS:
        start = time.perf_counter()
        done = millscale(
            "train", str(data), "--backbone", backbone, "--set", f"views={views}", "--seed", str(seed),
            "--out", str(folder / str(seed)), "--json", cache=folder / "cache",
        )  # fmt: skip
        seconds.append(time.perf_counter() - start)
        documents.append(json.loads(done.stdout)["metrics"])
    accuracy = [document["accuracy"] for document in documents]
    low, high = documents[0]["intervals"]["accuracy"]
    return [
        f"{statistics.mean(accuracy):.2%} ± {100 * statistics.stdev(accuracy):.2f}",
        " ".join(str(document["errors"]) for document in documents) + f" of {documents[0]['images']}",
        f"{low:.2%}–{high:.2%}",
        f"{seconds[0]:.1f}",
        f"{statistics.median(seconds[1:]):.1f}",
    ]


if __name__ == "__main__":
    main()
