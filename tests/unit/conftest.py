"""Bundles whose answers are known by hand, tables of boxes out of plain rows, and pictures of squares and bars."""

import threading
from collections.abc import Sequence
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from PIL import Image

from millscale.core.types import Boxes
from millscale.data.manifest import ImageRecord, Manifest
from millscale.metrics.detections import DetectionTable
from millscale.runtime.bundle import make_bundle

GOLDEN = np.array([255, 51, 0]) / 16  # the mean of grid's golden picture: one of 16 cells red, one a dark green
AS_IT_IS = {"policy": "native", "size": None, "mean": [0, 0, 0], "std": [1, 1, 1]}


def _colour_graph() -> bytes:
    """A classifier: the softmax of 8 times the share of red, green and blue in the image."""
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=onnx.TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats"], ["means"], axes=[1, 2], keepdims=0),
        helper.make_node("Mul", ["means", "scale"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probs"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "colour",
        [helper.make_tensor_value_info("images", onnx.TensorProto.UINT8, ["n", "h", "w", 3])],
        [helper.make_tensor_value_info("probs", onnx.TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(np.array(8 / 255, np.float32), "scale")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def _one_eyed(graph: bytes) -> bytes:
    """The grid detector, blind but for its first cell, at the top left."""
    model = onnx.load_from_string(graph)
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = ["all" if name == "scores" else name for name in names]
    model.graph.node.append(helper.make_node("Mul", ["all", "eye"], ["scores"]))
    model.graph.initializer.append(numpy_helper.from_array(np.eye(16, 1, dtype=np.float32)[None], "eye"))
    return bytes(model.SerializeToString())


@pytest.fixture(scope="session")
def bundles(grid, tmp_path_factory: pytest.TempPathFactory):
    """Files of bundles that tell red, green and blue; ``graphs`` by name of member.

    ``detector`` is `grid`, ``one_eyed`` sees its first cell only, ``classifier`` goes by the mean colour, ``both`` is a
    classifier with a detector.
    """
    power = np.exp(8 / 255 * GOLDEN)
    located = grid.card()
    calibration = {"method": "temperature", "temperature": 1.0, "fitted_on": "nothing"}
    classifying: dict[str, Any] = {"preprocess": AS_IT_IS, "calibration": calibration}
    part, probs = {"task": "classify", "file": "classifier.onnx"}, {"probs": (power / power.sum()).tolist()}
    golden = {"file": "golden.png", **probs}
    first = {"file": "golden.png", "scores": {"detector.onnx": [1.0] + 9 * [0.0]}}
    cards = {
        "detector": located,
        "one_eyed": grid.card(name="one_eyed", golden=first),
        "classifier": grid.card(name="colour", parts=[part], golden=golden, **classifying),
        "both": grid.card(
            name="both", parts=[part, *located["parts"]], golden=located["golden"] | golden, **classifying
        ),
    }
    graphs = {"classifier.onnx": _colour_graph(), "detector.onnx": grid.graph}
    folder, paths = tmp_path_factory.mktemp("bundles"), {}
    for name, card in cards.items():
        members = {one["file"]: graphs[one["file"]] for one in card["parts"]}
        if name == "one_eyed":
            members["detector.onnx"] = _one_eyed(grid.graph)
        members["golden.png"] = grid.members["golden.png"]
        paths[name] = make_bundle(card, members).save(folder / f"{name}.millscale")
    return SimpleNamespace(**paths, graphs=graphs)


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Twelve dark images of 48×48 pixels with one bright square or bar each, in turn; every image its own group."""
    folder, rng, records = tmp_path_factory.mktemp("shapes"), np.random.default_rng(0), []
    for k in range(12):
        pixels = rng.normal(60, 10, (48, 48))
        left, top, wide = 4 + 2 * k, 8 + k, (16, 8)[k % 2]
        pixels[top : top + 16, left : left + wide] += 150
        path = folder / f"{k:02}.png"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
        box = Boxes([[left, top, left + wide, top + 16]], [k % 2])
        records.append(ImageRecord(path.name, path, boxes=box, group=f"g{k}"))
    return Manifest(tuple(records), ("square", "bar"), str(folder))


def _boxes(rows: Sequence[tuple[float, ...]], *, true: bool) -> Boxes:
    """``(class, left, top, right, bottom)`` and a score; or, of the truth, whether it is difficult."""
    table = np.array([(*row, 0.0)[:6] for row in rows], np.float64).reshape(-1, 6)
    last = {"difficult": table[:, 5]} if true else {"score": table[:, 5]}
    return Boxes(table[:, 1:5], table[:, 0], **last)  # type: ignore[arg-type]


@pytest.fixture
def located(tmp_path: Path):
    """``located(truth, found, classes, size)``: a table of grey images 0.png, 1.png, …, rows of boxes for each.

    A true box is ``(class, left, top, right, bottom[, difficult])``, a found one ends with its score.
    """

    def make(truth, found, classes=("scratch", "pit"), size=(100, 100), groups=None) -> DetectionTable:
        paths = [tmp_path / f"{row}.png" for row in range(len(truth))]
        for path in paths:
            Image.new("L", size[::-1], 120).save(path)
        return DetectionTable(
            ids=tuple(path.name for path in paths),
            paths=tuple(paths),
            sizes=(size,) * len(paths),
            classes=tuple(classes),
            truth=tuple(_boxes(rows, true=True) for rows in truth),
            found=tuple(_boxes(rows, true=False) for rows in found),
            groups=groups,
        )

    return make


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path):
    """A web server over ``tmp_path/published``: the folder and its address."""
    folder = tmp_path / "published"
    folder.mkdir()
    with HTTPServer(("127.0.0.1", 0), partial(_Silent, directory=str(folder))) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{http.server_port}/"
        http.shutdown()
        thread.join()
