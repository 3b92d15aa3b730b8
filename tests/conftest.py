"""What many tests share: a private cache, a small data set, a tiny backbone and a bundle trained on both."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from millscale.data.manifest import Manifest
from millscale.data.synthetic import make_dataset


@pytest.fixture(scope="session", autouse=True)
def _private_cache(tmp_path_factory: pytest.TempPathFactory):
    """Nothing a test computes meets the user's cache, nor the other way round."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILLSCALE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def _conv(source: str, name: str, channels: tuple[int, int], rng: np.random.Generator) -> tuple[Any, ...]:
    weight = rng.normal(scale=0.5, size=(channels[1], channels[0], 3, 3)).astype(np.float32)
    bias = rng.normal(scale=0.2, size=channels[1]).astype(np.float32)
    node = helper.make_node("Conv", [source, f"{name}.w", f"{name}.b"], [f"{name}.raw"], pads=[1] * 4, strides=[2, 2])
    relu = helper.make_node("Relu", [f"{name}.raw"], [name])
    return (node, relu), (weight, bias)


@pytest.fixture(scope="session")
def tiny():
    """A backbone of two random 3×3 convolutions with stride 2, each with ReLU: 4 channels, then 6.

    ``data``: its ONNX file; ``weights``: [(w, b), (w, b)]; ``outputs``: its two feature maps.
    """
    rng = np.random.default_rng(7)
    first, one = _conv("image", "fine", (3, 4), rng)
    second, two = _conv("fine", "coarse", (4, 6), rng)
    weights = {"fine": one, "coarse": two}
    tensors = [
        numpy_helper.from_array(array, f"{name}.{part}")
        for name, pair in weights.items()
        for part, array in zip("wb", pair, strict=True)
    ]
    values = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", channels, f"h_{name}", f"w_{name}"])
        for name, channels in (("image", 3), ("fine", 4), ("coarse", 6))
    ]
    graph = helper.make_graph([*first, *second], "tiny", values[:1], values[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return SimpleNamespace(
        data=model.SerializeToString(), weights=[one, two], outputs=("fine", "coarse"), dimensions=20
    )


@pytest.fixture(scope="session")
def tiny_path(tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.onnx"
    path.write_bytes(tiny.data)
    return path


@pytest.fixture(scope="session")
def steel(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """72 synthetic images of six classes, 96×96, cut from sheets so that many overlap. Do not change it."""
    return make_dataset(tmp_path_factory.mktemp("steel"), per_class=12, size=96)


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def millscale():
    """Runs the command line in this process: ``millscale("train", folder, "--json")``."""
    from typer.testing import CliRunner

    from millscale.cli.main import app

    def run(*words: object) -> Finished:
        result = CliRunner().invoke(app, [str(word) for word in words], prog_name="millscale")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Finished(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture(scope="session")
def trained(millscale, steel, tiny_path, tmp_path_factory: pytest.TempPathFactory):
    """``train --json`` of the tiny backbone on ``steel``: the finished command, and the run's folder."""
    folder = tmp_path_factory.mktemp("run")
    done = millscale(
        "train", steel.source, "--backbone", tiny_path, "--out", folder, "--name", "steel", "--json",
        "--cost", "review=0.3",
    )  # fmt: skip
    assert done.code == 0, done.err
    return SimpleNamespace(done=done, folder=folder, bundle=folder / "steel.millscale")
