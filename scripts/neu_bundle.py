"""Make the NEU bundle that ships inside the package (``make bundle``); needs MILLSCALE_DATA/neu-cls.

The classifier is trained here; the detector is the committed nano, whose training ``scripts/detectors.py`` repeats.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import millscale as ms
from millscale.pipeline.config import TrainConfig
from millscale.pipeline.train import train
from millscale.runtime.bundle import open_bundle
from millscale.runtime.card import Card
from millscale.runtime.inspector import packaged_bundle
from millscale.runtime.join import join

NANO = Path(__file__).parent.parent / "benchmarks/bundles/neu-det-nano-kaggle1440.millscale"

NOTES = (
    "Trained by the millscale project on the NEU surface defect database (Song & Yan 2013), whose owners state no "
    "licence; no NEU image is inside. Backbone millscale_s: Apache-2.0, distilled without any NEU image. "
    "Use on NEU-like hot-rolled strip; measure on your own images before you trust it."
)


def main() -> None:
    data = Path(os.environ.get("MILLSCALE_DATA", "")) / "neu-cls"
    if not data.is_dir():
        raise SystemExit("Set MILLSCALE_DATA to the folder that holds neu-cls.")
    config = TrainConfig(
        data=str(data), task="classify", name="neu", options={"backbone": "millscale_s"}, licence_notes=NOTES
    )
    with tempfile.TemporaryDirectory() as folder:
        run = train(ms.read(data), config, folder, progress=_tell)
        both = join([run.bundle, open_bundle(NANO)], _described(run.bundle.card, open_bundle(NANO).card))
        both.save(packaged_bundle())
    print(f"{packaged_bundle()}: {run.metrics.accuracy:.2%}, {run.metrics.errors} of {run.metrics.images} wrong")


def _described(classifier: Card, detector: Card) -> dict[str, Any]:
    """What the card says of the two together; the classifier's figures stay, the detector's stand beside them."""
    located = {"protocol": detector.protocol, "metrics": detector.metrics, "dataset": detector.dataset}
    return {
        "provenance": {**classifier.provenance, "detector": {**located, "provenance": detector.provenance}},
        "licence_notes": f"{classifier.licence_notes} Detector: {detector.licence_notes}",
    }


def _tell(what: str, done: int, total: int) -> None:
    if done == total:
        print(f"{what}: {total}", file=sys.stderr)


if __name__ == "__main__":
    main()
