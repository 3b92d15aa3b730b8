"""What many tests share: a private cache, a small data set, a tiny backbone and a bundle trained on both."""

import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# Threads of BLAS and OpenMP wait for each other by spinning: on matrices as small as these tests', and with as many
# workers as cores, that is most of the processor time. Both read this once, when they are loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import onnx
import PIL.Image
import pytest
from onnx import helper, numpy_helper

from millscale.data.manifest import Manifest
from millscale.data.synthetic import make_dataset

SHARED = "audit", "boxes", "clusters", "few_labels", "labelling", "openset", "training"
"""Modules of ``tests/real`` that look at the same images: what one computes of them, the others find in the cache."""
SCOPES = {f"tests/real/test_{name}.py": "shared" for name in SHARED}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Tests of one module run on one worker, so that what they share is made once.

    Not ``--dist loadgroup``: it writes a test's group into its id, which pytest 9.2 no longer lets it.
    """
    if config.getvalue("dist") != "load":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            module = str(super()._split_scope(nodeid))
            return SCOPES.get(module, module)

    # In the order of collection: a module of one test may be the longest, and would else come last.
    config.option.loadscopereorder = False
    return Scheduling(config, log)


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
def grid():
    """A detector whose answers are known by hand: 4×4 cells of 10 pixels, each scored by its mean red, green, blue.

    ``graph``: its ONNX file; ``card(**changes)``: that of a bundle of it alone; ``picture({(column, row): rgb})``: a
    black PNG of 40×40 pixels with these cells coloured; ``members``: of the bundle.
    """
    network = _grid_network()

    def picture(cells: dict[tuple[int, int], tuple[int, int, int]]) -> bytes:
        pixels = np.zeros((40, 40, 3), np.uint8)
        for (column, row), rgb in cells.items():
            pixels[10 * row : 10 * row + 10, 10 * column : 10 * column + 10] = rgb
        buffer = BytesIO()
        PIL.Image.fromarray(pixels).save(buffer, format="PNG")
        return buffer.getvalue()

    golden = picture({(0, 0): (255, 0, 0), (3, 2): (0, 51, 0)})
    return SimpleNamespace(
        graph=network, card=_grid_card, picture=picture, members={"detector.onnx": network, "golden.png": golden}
    )


def _grid_network() -> bytes:
    corners = [[x, y, x + 10, y + 10] for y in range(0, 40, 10) for x in range(0, 40, 10)]
    weights = {
        "unit": np.float32(1 / 255),
        "cells": np.array([0, 3, 16]),
        "nothing": np.zeros((3, 4), np.float32),
        "corners": np.array(corners, np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["means"], kernel_shape=[10, 10], strides=[10, 10]),
        helper.make_node("Mul", ["means", "unit"], ["shares"]),
        helper.make_node("Reshape", ["shares", "cells"], ["by_colour"]),
        helper.make_node("Transpose", ["by_colour"], ["scores"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["scores", "nothing"], ["zeros"]),
        helper.make_node("Add", ["zeros", "corners"], ["boxes"]),
    ]
    graph = helper.make_graph(
        nodes,
        "grid",
        [helper.make_tensor_value_info("images", onnx.TensorProto.UINT8, ["n", 40, 40, 3])],
        [
            helper.make_tensor_value_info(o, onnx.TensorProto.FLOAT, ["n", 16, k])
            for o, k in (("boxes", 4), ("scores", 3))
        ],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )
    return bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )


def _grid_card(**changes: Any) -> dict[str, Any]:
    detection = {"thresholds": {"red": 0.5, "green": 0.5, "blue": 0.9}}
    preprocess = {"policy": "resize", "size": [40, 40], "mean": [0, 0, 0], "std": [1, 1, 1]}
    return {
        "name": "grid",
        "millscale_version": "0",
        "parts": [{"task": "detect", "file": "detector.onnx", "preprocess": preprocess, "detection": detection}],
        "classes": ["red", "green", "blue"],
        "golden": {"file": "golden.png", "scores": {"detector.onnx": [1.0, 0.2, *[0.0] * 8]}},
        "protocol": "by hand",
        "metrics": {},
        "dataset": {},
        "provenance": {},
        "licence_notes": "none",
        **changes,
    }


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
