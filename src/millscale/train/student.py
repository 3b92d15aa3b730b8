"""The packaged backbone's network: small, residual, of plain 3×3 convolutions, seeing brightness only.

Plain convolutions, because depthwise ones gain little from int8 and run poorly in ONNX Runtime.
"""

from dataclasses import dataclass

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor, nn

from millscale.imaging.preprocess import IMAGENET_MEAN, IMAGENET_STD

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in brightness (ITU-R BT.601)."""
OUTPUTS = ("stride4", "stride8", "stride16")
_OPSET = 17
_IR_VERSION = 8


@dataclass(frozen=True)
class StudentConfig:
    """Channels.

    Attributes:
        stem: after the first convolution.
        widths: of the stages at strides 4, 8 and 16.
        outputs: of the three maps; a stage of another width is widened by a 1×1 convolution.
    """

    stem: int = 16
    widths: tuple[int, int, int] = (32, 64, 128)
    outputs: tuple[int, int, int] = (32, 128, 256)


class ConvNorm(nn.Module):
    """A square convolution and its batch norm."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1, side: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, side, stride, padding=side // 2, bias=False)
        self.norm = nn.BatchNorm2d(channels_out)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """``(N, I, H, W)`` to ``(N, O, ⌈H/stride⌉, ⌈W/stride⌉)``."""
        found: Tensor = self.norm(self.conv(x))
        return found

    def folded(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weight ``(O, I, side, side)`` and bias ``(O,)`` of the one convolution that both amount to."""
        mean, variance = self.norm.running_mean, self.norm.running_var
        assert mean is not None  # noqa: S101 (kept by every norm of this network)
        assert variance is not None  # noqa: S101
        scale = self.norm.weight / torch.sqrt(variance + self.norm.eps)
        weight = self.conv.weight * scale[:, None, None, None]
        return weight.detach().contiguous().numpy(), (self.norm.bias - mean * scale).detach().numpy()


class Stage(nn.Module):
    """Halves the resolution, then one residual block."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.down = ConvNorm(channels_in, channels_out, stride=2)
        self.first = ConvNorm(channels_out, channels_out)
        self.second = ConvNorm(channels_out, channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, I, H, W)`` to ``(N, O, ⌈H/2⌉, ⌈W/2⌉)``."""
        x = torch.relu(self.down(x))
        return torch.relu(x + self.second(torch.relu(self.first(x))))


class Student(nn.Module):
    """Three stages after one convolution.

    Its input is brightness, ``(N, 1, H, W)`` float32, with the brightness of the ImageNet mean subtracted:
    see ``brightness``. The exported file takes normalised RGB, like every backbone.
    """

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = ConvNorm(1, config.stem, stride=2)
        channels = (config.stem, *config.widths)
        self.stages = nn.ModuleList(Stage(a, b) for a, b in zip(channels, config.widths, strict=False))
        pairs = zip(config.widths, config.outputs, strict=True)
        self.wideners = nn.ModuleList(ConvNorm(a, b, side=1) if a != b else nn.Identity() for a, b in pairs)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """The maps at strides 4, 8 and 16, after their last ReLU."""
        x = torch.relu(self.stem(x))
        maps = []
        for stage, widener in zip(self.stages, self.wideners, strict=True):
            x = stage(x)
            maps.append(torch.relu(widener(x)))
        return tuple(maps)


def brightness(grey: Tensor) -> Tensor:
    """Grey ``(N, H, W)`` uint8 as the student's input."""
    offset = sum(share * mean for share, mean in zip(LUMA, IMAGENET_MEAN, strict=True))
    return grey[:, None].float() / 255 - offset


def to_onnx(student: Student) -> bytes:
    """The student as an ONNX file of convolutions, additions and ReLUs.

    Input ``image``: float32 ``(n, 3, h, w)``, RGB normalised by the ImageNet mean and deviation, any size.
    Outputs ``stride4``, ``stride8``, ``stride16``. Equal weights give equal bytes.
    """
    graph = _Graph()
    x = graph.relu(graph.conv("image", "stem", *_for_rgb(student.stem), stride=2))
    for name, stage, widener in zip(OUTPUTS, student.stages, student.wideners, strict=True):
        x = _add_stage(graph, x, name, stage, widener)
    outputs = [_tensor(name, width) for name, width in zip(OUTPUTS, student.config.outputs, strict=True)]
    proto = helper.make_graph(graph.nodes, "millscale_s", [_tensor("image", 3)], outputs, graph.weights)
    opset = [helper.make_opsetid("", _OPSET)]
    model = helper.make_model(proto, opset_imports=opset, ir_version=_IR_VERSION, producer_name="millscale")
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def parameters(student: Student) -> int:
    """Weights and biases of the exported file."""
    model = onnx.load_from_string(to_onnx(student))
    return sum(int(np.prod(weight.dims)) for weight in model.graph.initializer)


def macs(student: Student, side: int) -> int:
    """Multiply-accumulate operations of the exported file for one image of ``side`` × ``side``."""
    model = onnx.load_from_string(to_onnx(student))
    sizes = {weight.name: int(np.prod(weight.dims)) for weight in model.graph.initializer}
    sides, total = {"image": side}, 0
    for node in model.graph.node:
        stride = next((a.ints[0] for a in node.attribute if a.name == "strides"), 1)
        sides[node.output[0]] = -(-sides[node.input[0]] // stride)
        if node.op_type == "Conv":
            total += sizes[node.input[1]] * sides[node.output[0]] ** 2
    return total


class _Graph:
    """Nodes and weights of an ONNX graph as it grows; every method returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def conv(self, x: str, name: str, weight: NDArray[np.float32], bias: NDArray[np.float32], stride: int = 1) -> str:
        self.weights.append(numpy_helper.from_array(weight, f"{name}.weight"))
        self.weights.append(numpy_helper.from_array(bias, f"{name}.bias"))
        node = helper.make_node(
            "Conv",
            [x, f"{name}.weight", f"{name}.bias"],
            [name],
            kernel_shape=list(weight.shape[2:]),
            pads=[weight.shape[2] // 2] * 4,
            strides=[stride, stride],
        )
        self.nodes.append(node)
        return name

    def relu(self, x: str, name: str = "") -> str:
        return self._node("Relu", [x], name or f"{x}.relu")

    def add(self, x: str, y: str) -> str:
        return self._node("Add", [x, y], f"{y}.sum")

    def _node(self, kind: str, inputs: list[str], output: str) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output]))
        return output


def _add_stage(graph: _Graph, x: str, name: str, stage: nn.Module, widener: nn.Module) -> str:
    """A stage, whose map is the output ``name``; returns what the next stage takes."""
    assert isinstance(stage, Stage)  # noqa: S101 (a module list does not say so)
    x = graph.relu(graph.conv(x, f"{name}.down", *stage.down.folded(), stride=2))
    y = graph.relu(graph.conv(x, f"{name}.first", *stage.first.folded()))
    y = graph.add(x, graph.conv(y, f"{name}.second", *stage.second.folded()))
    if not isinstance(widener, ConvNorm):
        return graph.relu(y, name)
    x = graph.relu(y)
    graph.relu(graph.conv(x, f"{name}.wide", *widener.folded()), name)
    return x


def _for_rgb(stem: ConvNorm) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The first convolution for normalised RGB: brightness is a weighted sum, so it folds into the weight.

    Padding needs no care: zero stands for the ImageNet mean in both.
    """
    weight, bias = stem.folded()
    shares = np.array(LUMA, dtype=np.float32) * np.array(IMAGENET_STD, dtype=np.float32)
    return weight * shares[None, :, None, None], bias


def _tensor(name: str, channels: int) -> onnx.ValueInfoProto:
    """A float32 tensor of any batch, height and width."""
    sizes = ("n", channels, "h", "w") if name == "image" else ("n", channels, f"{name}_h", f"{name}_w")
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, list(sizes))
