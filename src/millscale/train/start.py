"""Go on from a detector that was trained before: its weights out of its bundle, into one as wide or wider."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from millscale.core.errors import DataError, UsageError
from millscale.learn.recipe import Task
from millscale.runtime.bundle import Bundle, content_keys, open_bundle
from millscale.runtime.inspector import packaged_bundle
from millscale.train.detection import Detector, DetectorSpec, build_detector
from millscale.train.network import fitting, norms_after_convolutions
from millscale.train.widen import widened

PACKAGED = "packaged"
"""What stands for the bundle that ships inside the package."""
_OWN = "model."
"""What the exported graph writes before the names of the network's weights."""


def open_start(file: str, task: Task, held_out: Sequence[int]) -> Bundle:
    """The bundle to go on from: a file's, or the ``PACKAGED`` one.

    Raises:
        ModelError: it is none, or is damaged.
        UsageError: it does not locate by a single network.
        DataError: it learned from an image that is held out in one of these folds.
    """
    bundle = open_bundle(packaged_bundle() if file == PACKAGED else Path(file))
    count = len(bundle.card.detectors)
    if count != 1:
        raise UsageError(f"start: expected a bundle with one detector, found {count} in {file}. Name another.")
    known = np.isin(content_keys(record.content_hash for record in task.manifest.records), bundle.seen)
    for fold in held_out:
        learned = np.zeros_like(known)
        learned[task.training_rows(fold)] = True
        odd = np.flatnonzero(known & ~learned)
        if len(odd):
            raise DataError(
                f"start: expected a bundle that learned from no image held out here, found {len(odd)} of them in what "
                f"{file} has learned from, such as {task.manifest.records[odd[0]].id}: it would be judged on what it "
                "knows. Give --split a file whose training part holds them, or leave start out."
            )
    return bundle


def start_from(
    bundle: Bundle, network: Detector, spec: DetectorSpec, classes: Sequence[str], size: tuple[int, int], seed: int
) -> None:
    """Give ``network`` the weights of the bundle's detector; of other ``classes``, not those of its last layers.

    Batch norms come folded, as the graph holds them.

    Raises:
        ModelError: it is another kind of detector, or one that is no narrower multiple.
    """
    (part,) = bundle.card.detectors
    graph = onnx.load_from_string(bundle.members[part.file]).graph
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    # Equal ones stand there once.
    arrays |= {node.output[0]: arrays[node.input[0]] for node in graph.node
               if node.op_type == "Identity" and node.input[0] in arrays}  # fmt: skip
    given = {name.removeprefix(_OWN): array for name, array in arrays.items() if name.startswith(_OWN)}
    found = _with_norms({name: torch.from_numpy(array.copy()) for name, array in given.items()}, network)
    own = network.state_dict()
    wanted = dict(own)
    if tuple(classes) != bundle.card.classes:
        other = build_detector(spec, len(classes) + 1, size, 0, pretrained=False).state_dict()
        wanted = {name: tensor for name, tensor in own.items() if tensor.shape == other[name].shape}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        wide = {name: widened(tensor, own[name].shape) for name, tensor in found.items() if name in own}
    network.load_state_dict(own | fitting(wide, wanted, f"{bundle.card.name}.millscale"))


def _with_norms(given: Mapping[str, Tensor], network: Detector) -> dict[str, Tensor]:
    """The weights with batch norms that take up the biases of the convolutions they were folded into."""
    found = dict(given)
    for before, name in norms_after_convolutions(network):
        norm, bias = network.get_submodule(name), found.pop(f"{before}.bias", None)
        if bias is None:
            continue
        ones = torch.ones_like(bias)
        assert isinstance(norm, torch.nn.BatchNorm2d)  # noqa: S101 - what norms_after_convolutions names
        found |= {f"{name}.weight": (ones + norm.eps).sqrt(), f"{name}.bias": bias}
        found |= {f"{name}.running_mean": torch.zeros_like(bias), f"{name}.running_var": ones}
        if network.get_submodule(before).bias is not None:
            found[f"{before}.bias"] = torch.zeros_like(bias)
    return found
