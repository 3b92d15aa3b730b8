"""Go on from a detector that was trained before: its weights out of its bundle, into one as wide or wider."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from millscale.core.errors import DataError, ModelError, UsageError
from millscale.learn.recipe import Task
from millscale.runtime.bundle import SEEN, Bundle, open_bundle, recognised
from millscale.runtime.inspector import packaged_bundle
from millscale.train.detection import Detector, build_detector, detector_spec
from millscale.train.export import GRAPH_PREFIX
from millscale.train.network import fitting, fold_batch_norm, norms_after_convolutions
from millscale.train.widen import widened

PUBLIC, RANDOM, PACKAGED = "public", "random", "packaged"
"""What may stand instead of a bundle's file: public weights, none, and the bundle that ships inside the package."""


def open_start(file: str, task: Task, held_out: Sequence[int]) -> Bundle:
    """The bundle to go on from: a file's, or the ``PACKAGED`` one.

    Raises:
        ModelError: it is none, or is damaged.
        UsageError: no such file, or it does not locate by a single network, does not say what it learned from, or
            would be overwritten.
        DataError: it learned from an image that is held out in one of these folds.
    """
    path = packaged_bundle() if file == PACKAGED else Path(file)
    if not path.is_file():
        raise UsageError(f"start: expected {PUBLIC}, {RANDOM}, {PACKAGED} or a bundle's file, found '{file}'.")
    bundle = open_bundle(path)
    count = len(bundle.card.detectors)
    if count != 1:
        raise UsageError(f"start: expected a bundle with one detector, found {count} in {file}. Name another.")
    if SEEN not in bundle.members:
        raise UsageError(f"start: expected a bundle that keeps what it learned from, found none of it in {file}.")
    if path.resolve().parent == task.folder.resolve().parent:
        raise UsageError(f"start: {file} lies in the folder that is written to. Give another one with --out.")
    known = np.flatnonzero(recognised(task.manifest, bundle.seen))
    for fold in held_out:
        odd = np.setdiff1d(known, task.training_rows(fold))
        if len(odd):
            raise DataError(
                f"start: expected a bundle that learned from no image held out here, found {len(odd)} of them in what "
                f"{file} has learned from, such as {task.manifest.records[odd[0]].id}: it would be judged on what it "
                "knows. Judge on images it has not seen: give --split a file whose part 'train' holds all those it has."
            )
    return bundle


def told_of(start: Bundle) -> dict[str, Any]:
    """What a card says of the bundle that its detector went on from."""
    (part,) = start.card.detectors
    return {"name": start.card.name, "images": len(start.seen), "sha256": start.card.sha256[part.file]}


def start_from(bundle: Bundle, network: Detector, name: str, classes: Sequence[str], seed: int) -> None:
    """Give a network, just built, the weights of the bundle's detector.

    Layers that depend on the classes stay as built where those are others, or in another order. Batch norms, which
    the bundle holds folded into convolutions, stand in the YOLO family with statistics that change nothing, to be
    unfolded; elsewhere they stay folded.

    Args:
        bundle: as `open_start` gives it.
        network: changed in place.
        name: under which it is registered.
        classes: of the network.
        seed: of what is random where it is wider.

    Raises:
        UsageError: the bundle's detector is of another kind, or is a wider one.
    """
    (part,) = bundle.card.detectors
    own, spec = network.state_dict(), detector_spec(name)
    wanted = dict(own)
    if tuple(classes) != bundle.card.told_by(part):
        other = build_detector(spec, len(classes) + 1, 0, pretrained=False).state_dict()
        wanted = {name: tensor for name, tensor in own.items() if tensor.shape == other[name].shape}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        found = _with_norms(_weights(bundle.members[part.file]), network)
        wide = {name: widened(tensor, own[name].shape) for name, tensor in found.items() if name in own}
    try:
        network.load_state_dict(own | fitting(wide, wanted, bundle.card.name))
    except ModelError as error:
        kind = bundle.card.provenance.get("network", {}).get("name", "another kind")
        raise UsageError(
            f"start: expected a bundle that {name} can go on from, found one of {kind}, '{bundle.card.name}'. "
            "Give --detector its kind, or another bundle."
        ) from error
    if not spec.folded:
        fold_batch_norm(network)


def _weights(graph: bytes) -> dict[str, Tensor]:
    """What an exported graph holds, by the network's names."""
    held = onnx.load_from_string(graph).graph
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in held.initializer}
    for node in held.node:  # equal ones are stored once
        if node.op_type == "Identity" and node.input[0] in arrays:
            arrays[node.output[0]] = arrays[node.input[0]]
    named = {name.removeprefix(GRAPH_PREFIX): a for name, a in arrays.items() if name.startswith(GRAPH_PREFIX)}
    return {name: torch.from_numpy(array.copy()) for name, array in named.items()}


def _with_norms(given: Mapping[str, Tensor], network: Detector) -> dict[str, Tensor]:
    """The weights with batch norms that take up the biases of the convolutions they were folded into."""
    found = dict(given)
    for before, name in norms_after_convolutions(network):
        norm, bias = network.get_submodule(name), found.pop(f"{before}.bias", None)
        if bias is None:
            continue
        assert isinstance(norm, nn.BatchNorm2d)  # noqa: S101 - what norms_after_convolutions names
        zeros, ones = torch.zeros_like(bias), torch.ones_like(bias)
        found |= {f"{name}.weight": (ones + norm.eps).sqrt(), f"{name}.bias": bias}
        found |= {f"{name}.running_mean": zeros, f"{name}.running_var": ones}
        if network.get_submodule(before).bias is not None:
            found[f"{before}.bias"] = zeros
    return found
