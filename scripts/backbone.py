"""Make the packaged backbone: draw views, ask the teachers, distil, export, write the card (`make backbone`).

Needs the train floor, the teachers' files in MILLSCALE_WEIGHTS and the X-SDD images in MILLSCALE_DATA/x-sdd,
from which no label is read. Takes about an hour of one core; an interrupted run goes on where it was.
"""

import argparse
import datetime as dt
import json
import os
import platform
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from PIL import Image as PillowImage

from millscale.features.backbone import open_backbones
from millscale.imaging.decode import read_image
from millscale.train.distil import DistilConfig, digest, distil
from millscale.train.student import LUMA, OUTPUTS, Student, macs, parameters, to_onnx
from millscale.train.targets import TargetConfig, fingerprint, make_targets
from millscale.train.views import Grey

TEACHERS = ("resnet18", "resnet50v2")
NAME = "millscale_s"


def main() -> None:
    """Run the whole recipe."""
    options = _options()
    if options.photographs is None or not options.photographs.is_dir():
        sys.exit(
            f"Photographs: expected the folder of X-SDD, found {options.photographs}. "
            "Set MILLSCALE_DATA to the folder that holds x-sdd, or give --photographs."
        )
    torch.set_num_threads(1)
    photographs = [_grey(path) for path in sorted(options.photographs.glob("*/*")) if path.is_file()]
    targets_config, config = TargetConfig(views=options.views), DistilConfig(epochs=options.epochs)
    teachers = open_backbones("+".join(TEACHERS))
    print(f"{len(photographs)} photographs, {targets_config.views} views", flush=True)
    targets = make_targets(options.work / "targets", teachers, photographs, targets_config)
    student, losses = distil(targets, config, options.work / "distil", lambda line: print(line, flush=True))
    data = to_onnx(student)
    card = describe(student, data, losses, targets_config, config, photographs, options.measured)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / f"{NAME}.onnx").write_bytes(data)
    (options.out / f"{NAME}.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    print(f"{options.out / NAME}.onnx {len(data)} bytes, sha256 {digest(data)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, default=_photographs(), help="X-SDD, one folder a class")
    parser.add_argument("--work", type=Path, default=Path("runs/backbone"), help="targets and states are kept here")
    parser.add_argument("--out", type=Path, default=Path("src/millscale/features/weights"))
    parser.add_argument("--views", type=int, default=TargetConfig().views)
    parser.add_argument("--epochs", type=int, default=DistilConfig().epochs)
    parser.add_argument("--measured", type=Path, help="JSON of figures measured on the finished file, for the card")
    return parser.parse_args()


def _photographs() -> Path | None:
    """X-SDD in MILLSCALE_DATA."""
    folder = os.environ.get("MILLSCALE_DATA")
    return Path(folder) / "x-sdd" if folder else None


def _grey(path: Path) -> Grey:
    """An image as brightness."""
    image = read_image(path)
    return image if image.ndim == 2 else np.asarray(PillowImage.fromarray(image).convert("L"))


def describe(
    student: Student,
    data: bytes,
    losses: dict[str, float],
    targets: TargetConfig,
    config: DistilConfig,
    photographs: list[Grey],
    measured: Path | None,
) -> dict[str, object]:
    """The card that ships beside the file."""
    return {
        "name": NAME,
        "licence": "Apache-2.0",
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "sha256": digest(data),
        "bytes": len(data),
        "input": "image: float32 (n, 3, h, w), RGB normalised by the ImageNet mean and deviation; any size",
        "outputs": {name: f"{width} channels" for name, width in zip(OUTPUTS, student.config.outputs, strict=True)},
        "architecture": {
            "summary": "plain 3×3 convolutions: one of stride 2, then three stages of a stride-2 "
            "convolution and one residual block; 1×1 convolutions widen two of the maps; batch norm "
            "folded; sees brightness only",
            "channels": [student.config.stem, *student.config.widths],
            "luma": LUMA,
            "parameters": parameters(student),
            "macs_at_200x200": macs(student, 200),
        },
        "saw": [
            {
                "data": "X-SDD, hot-rolled strip",
                "images": len(photographs),
                "labels": "unused",
                "licence": "Apache-2.0",
            },
            {
                "data": "millscale.data.synthetic.render_texture: procedural, no pixel of any photograph; "
                "about a third of it imitates hot-rolled strip with the six kinds of defect that NEU names",
                "images": "one or two drawn anew for each view that shows no photograph",
            },
        ],
        "did_not_see": "any image of NEU-CLS, NEU-DET, SD-saliency-900 or Magnetic-tile",
        "teachers": [
            {"name": b.spec.name, "licence": b.spec.licence, "sha256": b.digest, "trained_on": "ImageNet-1k"}
            for b in open_backbones("+".join(TEACHERS))
        ],
        "recipe": {
            "targets": asdict(targets) | {"first_views_sha256": fingerprint(photographs, targets)},
            "distillation": asdict(config),
        },
        "made_with": {
            "torch": torch.__version__,
            "numpy": np.__version__,
            "onnxruntime": onnxruntime.__version__,
            "machine": platform.machine(),
            "threads": 1,
        },
        "held_out_losses": losses,
        "measured": json.loads(measured.read_text(encoding="utf-8")) if measured else {},
    }


if __name__ == "__main__":
    main()
