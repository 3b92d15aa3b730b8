"""An ONNX backbone opened again as a torch network, so that what was frozen can be trained."""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx
import torch
from onnx import NodeProto, numpy_helper
from torch import Tensor, nn

from millscale.core.errors import ModelError
from millscale.train.network import mean_and_deviation, pooled_width

OPERATORS = ("Add", "Conv", "Relu")


@dataclass(frozen=True)
class _Step:
    operator: str
    inputs: tuple[str, ...]
    output: str


class PooledGraph(nn.Module):
    """Runs a graph of convolutions, additions and ReLUs; the mean and deviation of its maps are the features.

    Args:
        data: the ONNX file, of one image input; batch norm is folded into its convolutions.
        outputs: the maps to pool, in this order; empty means all that the file has.

    Raises:
        ModelError: the file uses another operator.
    """

    def __init__(self, data: bytes, outputs: Sequence[str] = ()) -> None:
        super().__init__()
        graph = onnx.load_model_from_string(data).graph
        others = sorted({node.op_type for node in graph.node} - set(OPERATORS))
        if others:
            raise ModelError(
                f"Backbone: expected a network of {', '.join(OPERATORS)} to train, found "
                f"{', '.join(others)}. Choose another network."
            )
        weights = {w.name: torch.from_numpy(numpy_helper.to_array(w).copy()) for w in graph.initializer}
        self.input = graph.input[0].name
        self.outputs = tuple(outputs) or tuple(output.name for output in graph.output)
        self.steps = [_Step(node.op_type, tuple(node.input), node.output[0]) for node in graph.node]
        convolutions = [node for node in graph.node if node.op_type == "Conv"]
        self.convolutions = nn.ModuleDict({_key(n.output[0]): _convolution(n, weights) for n in convolutions})
        channels = {node.output[0]: len(weights[node.input[1]]) for node in convolutions}
        for step in self.steps:
            channels.setdefault(step.output, channels.get(step.inputs[0], 0))
        self.width = pooled_width(channels[name] for name in self.outputs)

    def forward(self, images: Tensor) -> Tensor:
        """``(n, 3, h, w)`` normalised → ``(n, width)``."""
        maps = {self.input: images}
        for step in self.steps:
            maps[step.output] = self._run(step, maps)
        return torch.cat([part for name in self.outputs for part in mean_and_deviation(maps[name])], 1)

    def _run(self, step: _Step, maps: dict[str, Tensor]) -> Tensor:
        x = maps[step.inputs[0]]
        if step.operator == "Conv":
            found: Tensor = self.convolutions[_key(step.output)](x)
            return found
        return torch.relu(x) if step.operator == "Relu" else x + maps[step.inputs[1]]


def _key(name: str) -> str:
    """A name that torch takes for a module."""
    return name.replace(".", "/")


def _convolution(node: NodeProto, weights: dict[str, Tensor]) -> nn.Conv2d:
    """The convolution of a node, with its weights."""
    found = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    weight, pads, group = weights[node.input[1]], found.get("pads", [0, 0, 0, 0]), found.get("group", 1)
    if found.get("auto_pad", b"NOTSET") != b"NOTSET" or pads[:2] != pads[2:]:
        raise ModelError(
            f"Backbone: expected equal padding on both sides of '{node.output[0]}', found {pads}. "
            "Choose another network."
        )
    channels_out, channels_in, *side = weight.shape
    conv = nn.Conv2d(
        channels_in * group,
        channels_out,
        tuple(side),  # type: ignore[arg-type]
        stride=tuple(found.get("strides", (1, 1))),
        padding=tuple(pads[:2]),
        dilation=tuple(found.get("dilations", (1, 1))),
        groups=group,
        bias=len(node.input) > 2,
    )
    biases = {"bias": weights[node.input[2]]} if len(node.input) > 2 else {}
    conv.load_state_dict({"weight": weight, **biases})
    return conv
