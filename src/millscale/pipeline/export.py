"""A bundle's networks as plain files for other runtimes, checked against what the bundle answers."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from millscale.core.errors import ModelError
from millscale.imaging.decode import read_image
from millscale.imaging.preprocess import Preprocess
from millscale.learn.recipe import Progress
from millscale.pipeline.run import write_json
from millscale.pipeline.summary import silent
from millscale.runtime.bundle import Bundle
from millscale.runtime.card import Part, Task
from millscale.runtime.network import open_network

LARGEST = {"boxes": 0.1, "scores": 1e-3, "probs": 1e-4, "map": 0.01}
"""Differences allowed between the runtimes: pixels of the tensor, scores, probabilities, deviations of good images."""
_OUTPUTS: dict[Task, list[str]] = {"classify": ["probs"], "detect": ["boxes", "scores"], "anomaly": ["map"]}
BACKENDS = ("onnxruntime", "openvino")
DECIDING = 0.01
"""Boxes of points whose best score is below are not compared: nothing comes of them."""


@dataclass(frozen=True)
class Parity:
    """How far a runtime's answers are from the bundle's own.

    Attributes:
        file: of the network.
        backend: the runtime.
        output: "boxes" in pixels, "scores", "probs" or "map".
        largest: difference over all images.
        allowed: what is still taken for the same.
    """

    file: str
    backend: str
    output: str
    largest: float
    allowed: float


def export(
    bundle: Bundle, folder: Path, backend: str, images: Sequence[Path], *, progress: Progress = silent
) -> tuple[Parity, ...]:
    """Write the networks of a bundle, its card and the parity found to ``folder``.

    Args:
        bundle: opened, hence verified.
        folder: receives ``card.json``, ``parity.json`` and each network: ``.onnx``, for OpenVINO ``.xml`` and ``.bin``.
        backend: "onnxruntime" or "openvino".
        images: on which the runtime is compared with ONNX Runtime.
        progress: called with (what, done, total).

    Raises:
        UsageError: an unknown backend.
        DataError: an image cannot be decoded.
        ModelError: the runtime is not installed, or answers otherwise; then no network is written.
        OSError: the folder cannot be written.
    """
    found = tuple(parity for part in bundle.card.parts for parity in _compared(bundle, part, backend, images, progress))
    wrong = [parity for parity in found if not parity.largest <= parity.allowed]
    if wrong:
        worst = wrong[0]
        raise ModelError(
            f"{worst.file} on {backend}: expected {worst.output} within {worst.allowed}, found differences up to "
            f"{worst.largest:.2g}. Nothing is written; use onnxruntime, and report this network."
        )
    folder.mkdir(parents=True, exist_ok=True)
    for part in bundle.card.parts:
        _write(bundle.members[part.file], folder / part.file, backend)
    write_json(folder / "card.json", bundle.card.model_dump(mode="json"))
    write_json(folder / "parity.json", {"images": len(images), "parity": [asdict(parity) for parity in found]})
    return found


def _compared(bundle: Bundle, part: Part, backend: str, images: Sequence[Path], progress: Progress) -> list[Parity]:
    data, outputs = bundle.members[part.file], _OUTPUTS[part.task]
    own, other = open_network(data, part.file), open_network(data, part.file, backend=backend)
    preprocess = Preprocess.from_json(part.preprocess or bundle.card.preprocess or {})
    largest = dict.fromkeys(outputs, 0.0)
    for done, path in enumerate(images, 1):
        tensor = preprocess.apply(read_image(path))[0][None]
        expected, found = (
            dict(zip(outputs, net.run({"images": tensor}, outputs), strict=True)) for net in (own, other)
        )
        for name in outputs:
            difference = np.abs(expected[name] - found[name])
            if name == "boxes":
                difference = difference[~(expected["scores"].max(2) < DECIDING)]
            # NumPy's maximum, because NaN must stay: Python's drops it, and the comparison below refuses it.
            largest[name] = float(np.maximum(largest[name], difference.max(initial=0.0)))
        progress(f"parity of {part.file}", done, len(images))
    return [Parity(part.file, backend, name, value, LARGEST[name]) for name, value in largest.items()]


def _write(graph: bytes, path: Path, backend: str) -> None:
    if backend == "onnxruntime":
        path.write_bytes(graph)
        return
    import openvino

    target = path.with_suffix(".xml")
    try:
        openvino.save_model(openvino.Core().read_model(graph), target, compress_to_fp16=False)
    except RuntimeError as error:
        raise OSError(f"{target}: OpenVINO cannot write it: {error}") from error
