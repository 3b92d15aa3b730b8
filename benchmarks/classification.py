"""Group-clean accuracy and whole-run time of ``millscale train``, cold and with cached features."""

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.table import Table, data_folder, millscale

RUNS = (
    ("neu-cls", "millscale_s", (4, 1, 8)),
    ("neu-cls", "squeezenet1_1", (4,)),
    ("neu-cls", "resnet18", (4,)),
    ("neu-cls", "millscale_s+squeezenet1_1", (4,)),
    ("x-sdd", "millscale_s", (4, 8)),
    ("x-sdd", "resnet18", (4,)),
)
"""Data, backbone, views: the first number of views is also timed cold."""
SEEDS = (0, 1, 2, 3, 4)


def main() -> None:
    table = Table(
        "classification",
        "Frozen features: group-clean 5-fold accuracy and time of the whole `millscale train`",
        (
            "data",
            "backbone",
            "views",
            "accuracy, mean ± sd",
            "wrong, each seed",
            "95 %, seed 0",
            "cold, s",
            "cached, s",
        ),
        notes=(
            "Folds keep images that share pixels together; five seeds, which change the folds.",
            "Cold: empty cache: audit, features, folds, bundle, parity check, report. Cached: median of the others.",
            "millscale_s saw the X-SDD images (never their labels) when it was distilled, and no NEU image.",
        ),
    )
    for data, backbone, views in RUNS:
        with tempfile.TemporaryDirectory() as folder:
            for count in views:
                runs = [_train(data_folder(data), backbone, count, seed, Path(folder)) for seed in SEEDS]
                table.add(data, backbone, count, *_columns(runs, timed_cold=count == views[0]))
    table.save()


def _train(data: Path, backbone: str, views: int, seed: int, folder: Path) -> tuple[dict[str, Any], float]:
    """The metrics and the seconds of one run."""
    start = time.perf_counter()
    options = ("--backbone", backbone, "--set", f"views={views}", "--seed", str(seed))
    out = str(folder / f"{views}-{seed}")
    done = millscale("train", str(data), *options, "--out", out, "--json", cache=folder / "cache")
    return json.loads(done.stdout)["metrics"], time.perf_counter() - start


def _columns(runs: list[tuple[dict[str, Any], float]], *, timed_cold: bool) -> list[str]:
    accuracy = [metrics["accuracy"] for metrics, _ in runs]
    low, high = runs[0][0]["intervals"]["accuracy"]
    seconds = [second for _, second in runs]
    return [
        f"{statistics.mean(accuracy):.2%} ± {100 * statistics.stdev(accuracy):.2f}",
        " ".join(str(metrics["errors"]) for metrics, _ in runs) + f" of {runs[0][0]['images']}",
        f"{low:.2%}–{high:.2%}",
        f"{seconds[0]:.1f}" if timed_cold else "–",
        f"{statistics.median(seconds[1:] if timed_cold else seconds):.1f}",
    ]


if __name__ == "__main__":
    main()
