"""``python -m benchmarks [NAME …]``: all measurements, or these."""

import importlib
import sys

ALL = (
    "anomaly",
    "audit",
    "classification",
    "clustering",
    "detection",
    "few_labels",
    "growth",
    "labelling",
    "openset",
    "speed",
)

if __name__ == "__main__":
    for name in sys.argv[1:] or ALL:
        print(f"== {name}", file=sys.stderr, flush=True)
        importlib.import_module(f"benchmarks.{name}").main()
