"""Train the NEU bundle that ships inside the package (``make bundle``); needs MILLSCALE_DATA/neu-cls."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import millscale as ms
from millscale.pipeline.config import TrainConfig
from millscale.pipeline.train import train
from millscale.runtime.inspector import packaged_bundle

NOTES = (
    "Trained by the millscale project on the NEU surface defect database (Song & Yan 2013), whose owners state no "
    "licence; no NEU image is inside. Backbone millscale_s: Apache-2.0, distilled without any NEU image. "
    "Use on NEU-like hot-rolled strip; measure on your own images before you trust it."
)


def main() -> None:
    data = Path(os.environ.get("MILLSCALE_DATA", "")) / "neu-cls"
    if not data.is_dir():
        raise SystemExit("Set MILLSCALE_DATA to the folder that holds neu-cls.")
    config = TrainConfig(data=str(data), name="neu", options={"backbone": "millscale_s"}, licence_notes=NOTES)
    with tempfile.TemporaryDirectory() as folder:
        run = train(ms.read(data), config, folder, progress=_tell)
        packaged_bundle().parent.mkdir(exist_ok=True)
        shutil.copyfile(run.bundle_path, packaged_bundle())
    print(f"{packaged_bundle()}: {run.metrics.accuracy:.2%}, {run.metrics.errors} of {run.metrics.images} wrong")


def _tell(what: str, done: int, total: int) -> None:
    if done == total:
        print(f"{what}: {total}", file=sys.stderr)


if __name__ == "__main__":
    main()
