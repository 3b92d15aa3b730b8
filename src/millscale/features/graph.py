"""One ONNX graph from pixels to features, and from pixels to probabilities.

The same graph extracts training features and runs in the bundle, so there is nothing to keep in step:

    images (n, h, w, 3) uint8 → normalise → dihedral views → backbone(s) → mean and deviation of every map
    → signed fourth root → features (n, views, d) → mean over views → linear head → softmax → probs (n, c)

The signed root is the power normalisation of Perronnin et al. 2010 (equation 6, alpha = 1/4): pooled channels are heavy
tailed, and without it the few strongest images decide alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from millscale.core.errors import ModelError
from millscale.features.backbone import Backbone
from millscale.imaging.preprocess import IMAGENET_MEAN, IMAGENET_STD

OPSET = 17
IR_VERSION = 8
VIEWS = 8
"""The dihedral group of the square: four flips of the image and four of its transpose."""
VIEW_COUNTS = (1, 2, 4, 8)
"""How many of them a classifier may average: the first so many."""


@dataclass
class Builder:
    """Nodes and weights of a graph under construction."""

    nodes: list[NodeProto] = field(default_factory=list)
    weights: dict[str, TensorProto] = field(default_factory=dict)
    count: int = 0

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output and return the output's name."""
        self.count += 1
        output = f"{kind.lower()}_{self.count}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, value: NDArray[np.generic]) -> str:
        """Add a weight and return its name."""
        self.count += 1
        name = f"constant_{self.count}"
        self.weights[name] = numpy_helper.from_array(value, name)
        return name

    def model(self, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]) -> bytes:
        graph = helper.make_graph(self.nodes, "millscale", inputs, outputs, initializer=list(self.weights.values()))
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="millscale",
        )
        try:
            onnx.checker.check_model(model)
        except onnx.checker.ValidationError as error:
            raise ModelError(f"The network does not hold together: {error}. Export its backbone again.") from error
        return bytes(model.SerializeToString())


IMAGES = helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", "h", "w", 3])


def feature_graph(backbones: Sequence[Backbone]) -> bytes:
    """The network ``images`` → ``features (n, 8, d)``: every dihedral view of every image."""
    build = Builder()
    pixels = normalised(build)
    views = [build.op("Unsqueeze", f, build.constant(np.array([1]))) for f in _views(build, backbones, pixels, VIEWS)]
    features = build.op("Concat", *views, axis=1)
    build.nodes.append(helper.make_node("Identity", [features], ["features"]))
    return build.model([IMAGES], [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", VIEWS, "d"])])


def classifier_graph(
    backbones: Sequence[Backbone],
    weight: NDArray[np.float64],
    bias: NDArray[np.float64],
    *,
    views: int,
) -> bytes:
    """The network ``images`` → ``probs (n, c)``, ``features (n, d)``.

    Args:
        backbones: as given to `feature_graph`.
        weight: ``(d, c)`` of the linear head, temperature included.
        bias: ``(c,)`` likewise.
        views: of `VIEW_COUNTS`; features are averaged over the first so many dihedral views.
    """
    build = Builder()
    pixels = normalised(build)
    seen = _views(build, backbones, pixels, views)
    features = build.op("Mean", *seen) if views > 1 else seen[0]
    logits = build.op(
        "Gemm", features, build.constant(weight.astype(np.float32)), build.constant(bias.astype(np.float32))
    )
    build.nodes.append(helper.make_node("Softmax", [logits], ["probs"], axis=1))
    build.nodes.append(helper.make_node("Identity", [features], ["features"]))
    return build.model(
        [IMAGES],
        [
            helper.make_tensor_value_info("probs", TensorProto.FLOAT, ["n", weight.shape[1]]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", weight.shape[0]]),
        ],
    )


def normalised(build: Builder) -> str:
    """``images`` as ``(n, 3, h, w)`` float32, less the mean, over the deviation."""
    mean, deviation = (np.array(values, np.float32)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    # Planes first: with the colours innermost, this takes ONNX Runtime a tenth of a small backbone's time.
    floats = build.op("Cast", build.op("Transpose", "images", perm=[0, 3, 1, 2]), to=TensorProto.FLOAT)
    scaled = build.op("Mul", floats, build.constant(np.float32(1.0) / (np.float32(255.0) * deviation)))
    return build.op("Add", scaled, build.constant(-mean / deviation))


def _views(build: Builder, backbones: Sequence[Backbone], pixels: str, count: int) -> list[str]:
    """Features ``(n, d)`` of the first ``count`` dihedral views, the untouched image first.

    The flips of one orientation share a shape, so they run as one batch, whatever the image's sides.
    """
    views = []
    for orientation in range(2 if count == VIEWS else 1):
        upright = build.op("Transpose", pixels, perm=[0, 1, 3, 2]) if orientation else pixels
        flips = [upright, *(_flipped(build, upright, axes) for axes in ([2], [3], [2, 3]))][:count]
        features = _pooled(build, backbones, build.op("Concat", *flips, axis=0))
        build.count += 1
        outputs = [f"view_{build.count}_{k}" for k in range(len(flips))]
        build.nodes.append(helper.make_node("Split", [features], outputs, axis=0))
        views += outputs
    return views


def _flipped(build: Builder, pixels: str, axes: list[int]) -> str:
    ones = np.ones(len(axes), np.int64)
    ends = build.constant(np.full(len(axes), np.iinfo(np.int64).min))
    return build.op("Slice", pixels, build.constant(-ones), ends, build.constant(np.array(axes)), build.constant(-ones))


def _pooled(build: Builder, backbones: Sequence[Backbone], pixels: str) -> str:
    """Mean and deviation over every feature map of every backbone, signed fourth root, ``(n, d)``."""
    parts: list[str] = []
    for backbone in backbones:
        for feature_map in feature_maps(build, backbone, pixels):
            mean = build.op("ReduceMean", feature_map, axes=[2, 3], keepdims=1)
            centred = build.op("Sub", feature_map, mean)
            variance = build.op("ReduceMean", build.op("Mul", centred, centred), axes=[2, 3], keepdims=1)
            parts += [build.op("Flatten", mean), build.op("Flatten", build.op("Sqrt", variance))]
    joined = build.op("Concat", *parts, axis=1)
    root = build.op("Sqrt", build.op("Sqrt", build.op("Abs", joined)))
    return build.op("Mul", build.op("Sign", joined), root)


def feature_maps(build: Builder, backbone: Backbone, pixels: str) -> list[str]:
    """Copy the backbone's nodes behind ``pixels``, weights once per graph; return its feature maps."""
    model = onnx.load_model_from_string(backbone.data)
    _check_backbone(model, backbone)
    # Two files may bear one name; the digest keeps their weights apart.
    graph, prefix = model.graph, f"{backbone.spec.name}.{backbone.digest[:12]}."
    build.count += 1
    edge = f"{prefix}{build.count}."
    names = {_image_inputs(model)[0].name: pixels}
    for weight in graph.initializer:
        names[weight.name] = prefix + weight.name
        if prefix + weight.name not in build.weights:
            copy = onnx.TensorProto()
            copy.CopyFrom(weight)
            copy.name = prefix + weight.name
            build.weights[copy.name] = copy
    for node in graph.node:
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        copied.name = ""
        copied.input[:] = [names.get(name, edge + name if name else "") for name in node.input]
        copied.output[:] = [edge + name if name else "" for name in node.output]
        build.nodes.append(copied)
    wanted = backbone.spec.outputs or tuple(output.name for output in graph.output)
    return [edge + name for name in wanted]


def _image_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The graph's inputs less its weights, which older files list among them."""
    initial = {weight.name for weight in model.graph.initializer}
    return [entry for entry in model.graph.input if entry.name not in initial]


def _check_backbone(model: onnx.ModelProto, backbone: Backbone) -> None:
    inputs = _image_inputs(model)
    opset = next((entry.version for entry in model.opset_import if entry.domain == ""), 0)
    outputs = {output.name for output in model.graph.output}
    problem = ""
    if len(inputs) != 1 or len(inputs[0].type.tensor_type.shape.dim) != 4:
        problem = f"expected one input (n, 3, h, w), found {[entry.name for entry in inputs]}"
    elif not 13 <= opset <= OPSET:
        problem = f"expected operator set 13 to {OPSET}, found {opset}"
    elif not outputs.issuperset(backbone.spec.outputs):
        problem = f"expected the outputs {backbone.spec.outputs}, found {sorted(outputs)}"
    elif any(len(o.type.tensor_type.shape.dim) != 4 for o in model.graph.output if not backbone.spec.outputs):
        problem = "expected every output to be a feature map (n, c, h, w)"
    if problem:
        raise ModelError(f"Backbone '{backbone.spec.name}': {problem}. Export it again to fit.")
