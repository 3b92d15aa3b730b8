"""From a trained network to the one ONNX graph that the bundle runs, and the proof that both are the same."""

import copy
import io
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from millscale.core.errors import ModelError
from millscale.imaging.preprocess import Preprocess
from millscale.runtime.backends.onnxruntime import Network
from millscale.runtime.onnx_audit import check_onnx
from millscale.train.detection import Detector
from millscale.train.network import Classifier, fold_batch_norm
from millscale.train.pixels import Pixels

OPSET = 17
GRAPH_PREFIX = "model."
"""Before the names of a network's weights in its graph: the field that holds it while it is written."""
TOLERANCE = 1e-4
"""Largest difference of a probability between torch and ONNX Runtime."""
_CHUNK = 16


class Normalise(nn.Module):
    """``(n, h, w, 3)`` uint8 → ``(n, 3, h, w)`` float32, less the mean, over the deviation."""

    scale: Tensor
    shift: Tensor

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        mean, std = np.array(preprocess.mean), np.array(preprocess.std)
        self.register_buffer("scale", torch.tensor(1 / (255 * std), dtype=torch.float32)[:, None, None])
        self.register_buffer("shift", torch.tensor(-mean / std, dtype=torch.float32)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """As the class says."""
        # Planes first: with the colours innermost, this takes ONNX Runtime a fifth of a small network's time.
        return images.permute(0, 3, 1, 2).float() * self.scale + self.shift


class _Deployed(nn.Module):
    """The bundle's graph contract: images → probabilities, features."""

    def __init__(self, model: Classifier, preprocess: Preprocess, temperature: float) -> None:
        super().__init__()
        self.normalise, self.model, self.temperature = Normalise(preprocess), model, temperature

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.model.features(self.normalise(images))
        return torch.softmax(self.model.head(features) / self.temperature, 1), features


def export_classifier(
    model: Classifier, preprocess: Preprocess, temperature: float, size: tuple[int, int], *, any_size: bool
) -> bytes:
    """The network ``images (n, h, w, 3)`` uint8 → ``probs (n, C)``, ``features (n, d)``.

    Args:
        model: as trained.
        preprocess: whose mean and deviation the graph normalises with.
        temperature: that the logits are divided by.
        size: (height, width) it was trained at.
        any_size: leave height and width open.

    Raises:
        ModelError: torch cannot write the network, or it needs operators that a bundle may not hold.
    """
    deployed = _Deployed(copy.deepcopy(model).cpu(), preprocess, temperature).eval()
    free = {0: "n", 1: "h", 2: "w"} if any_size else {0: "n"}
    return _exported(deployed, size, ("probs", "features"), free)


class _DeployedDetector(nn.Module):
    """The bundle's graph contract: images → boxes, scores."""

    def __init__(self, model: Detector, preprocess: Preprocess) -> None:
        super().__init__()
        self.normalise, self.model = Normalise(preprocess), model

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.model.raw(self.normalise(images))


def export_detector(model: Detector, preprocess: Preprocess, size: tuple[int, int]) -> bytes:
    """The network ``images (n, h, w, 3)`` uint8 → ``boxes (n, A, 4)``, ``scores (n, A, C)``.

    Args:
        model: as trained.
        preprocess: whose mean and deviation the graph normalises with.
        size: (height, width), the only one that the graph takes.

    Raises:
        ModelError: torch cannot write the network, or it needs operators that a bundle may not hold.
    """
    deployed = _DeployedDetector(copy.deepcopy(model).cpu(), preprocess).eval()
    fold_batch_norm(deployed)
    return _exported(deployed, size, ("boxes", "scores"), {0: "n"})


def _exported(network: nn.Module, size: tuple[int, int], outputs: Sequence[str], free: dict[int, str]) -> bytes:
    buffer = io.BytesIO()
    # The exporter by tracing is deprecated, but its successor needs a further package and writes no opset 17.
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(2, *size, 3, dtype=torch.uint8),),
            buffer,  # type: ignore[arg-type]
            input_names=["images"],
            output_names=list(outputs),
            dynamic_axes={"images": free, **{name: {0: "n"} for name in outputs}},
            opset_version=OPSET,
            dynamo=False,
        )
    graph = _tidied(buffer.getvalue())
    check_onnx(graph, "the exported network")
    return graph


def _tidied(data: bytes) -> bytes:
    """The same network with its shapes named as everywhere, and no notes of the exporter."""
    model = onnx.load_from_string(data)
    model.producer_name, model.producer_version = "millscale", ""
    model.graph.name = "millscale"
    for node in model.graph.node:
        node.doc_string = ""
    for output in model.graph.output:
        output.type.tensor_type.shape.dim[0].dim_param = "n"
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def require_parity(graph: bytes, pixels: Pixels, expected: NDArray[np.float64]) -> float:
    """The largest difference between ``expected`` and what ONNX Runtime makes of the same images.

    Args:
        graph: as ``export_classifier`` gives it.
        pixels: ``(m, h, w, 3)`` uint8.
        expected: ``(m, C)`` probabilities computed by torch.

    Raises:
        ModelError: a probability differs by more than 1e-4, or a decision differs.
    """
    network = Network(graph, "the exported network", threads=1)
    found = np.concatenate([network.run({"images": chunk}, ["probs"])[0] for chunk in _chunks(pixels)])
    largest = float(np.abs(found - expected).max())
    changed = int((found.argmax(1) != expected.argmax(1)).sum())
    if not largest <= TOLERANCE or changed:
        raise ModelError(
            f"Export: expected the probabilities of torch within {TOLERANCE} and the same decisions, found "
            f"differences up to {largest:.2g} and {changed} of {len(found)} decisions changed. Train with "
            "--set precision=float32, and report this network if it stays so."
        )
    return largest


def _chunks(pixels: Pixels) -> Iterator[Pixels]:
    for start in range(0, len(pixels), _CHUNK):
        yield np.ascontiguousarray(pixels[start : start + _CHUNK])
