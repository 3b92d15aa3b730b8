"""The layers that the YOLO family is built from; they are named as in the published YOLOX weights."""

import torch
from torch import Tensor, nn

NORM_EPSILON, NORM_MOMENTUM = 1e-3, 0.03


class ConvNorm(nn.Module):
    """Convolution, batch norm, SiLU; the map shrinks by ``stride``."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=NORM_EPSILON, momentum=NORM_MOMENTUM)
        self.act = nn.SiLU()

    def forward(self, maps: Tensor) -> Tensor:
        """``(n, inputs, h, w)`` → ``(n, outputs, h / stride, w / stride)``."""
        result: Tensor = self.act(self.bn(self.conv(maps)))
        return result


class DepthwiseConvNorm(nn.Module):
    """A convolution of each channel by itself, then one across channels (Howard et al. 2017)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.dconv = ConvNorm(inputs, inputs, kernel, stride, groups=inputs)
        self.pconv = ConvNorm(inputs, outputs, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """As ``ConvNorm``."""
        result: Tensor = self.pconv(self.dconv(maps))
        return result


def spatial(inputs: int, outputs: int, stride: int = 1, *, depthwise: bool) -> nn.Module:
    """A 3 × 3 convolution of either kind."""
    return (DepthwiseConvNorm if depthwise else ConvNorm)(inputs, outputs, 3, stride)


class _Bottleneck(nn.Module):
    def __init__(self, channels: int, *, shortcut: bool, depthwise: bool) -> None:
        super().__init__()
        self.conv1 = ConvNorm(channels, channels, 1)
        self.conv2 = spatial(channels, channels, depthwise=depthwise)
        self.shortcut = shortcut

    def forward(self, maps: Tensor) -> Tensor:
        result: Tensor = self.conv2(self.conv1(maps))
        return result + maps if self.shortcut else result


class CrossStage(nn.Module):
    """A stack of bottlenecks on half of the channels, joined with the other half (Wang et al. 2020, CSPNet)."""

    def __init__(self, inputs: int, outputs: int, count: int = 1, *, shortcut: bool, depthwise: bool) -> None:
        super().__init__()
        half = outputs // 2
        self.conv1, self.conv2 = ConvNorm(inputs, half, 1), ConvNorm(inputs, half, 1)
        self.conv3 = ConvNorm(2 * half, outputs, 1)
        self.m = nn.Sequential(*(_Bottleneck(half, shortcut=shortcut, depthwise=depthwise) for _ in range(count)))

    def forward(self, maps: Tensor) -> Tensor:
        """``(n, inputs, h, w)`` → ``(n, outputs, h, w)``."""
        result: Tensor = self.conv3(torch.cat((self.m(self.conv1(maps)), self.conv2(maps)), 1))
        return result


class PyramidPool(nn.Module):
    """Largest values over three windows beside the map itself (He et al. 2015, spatial pyramid pooling)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = ConvNorm(channels, channels // 2, 1), ConvNorm(2 * channels, channels, 1)
        self.m = nn.ModuleList(nn.MaxPool2d(size, 1, size // 2) for size in (5, 9, 13))

    def forward(self, maps: Tensor) -> Tensor:
        """``(n, channels, h, w)`` → the same shape."""
        reduced = self.conv1(maps)
        result: Tensor = self.conv2(torch.cat([reduced, *(pool(reduced) for pool in self.m)], 1))
        return result


class Focus(nn.Module):
    """Each 2 × 2 pixels become four groups of channels, then a 3 × 3 convolution (Jocher 2020, YOLOv5)."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.conv = ConvNorm(12, outputs, 3)

    def forward(self, images: Tensor) -> Tensor:
        """``(n, 3, h, w)`` → ``(n, outputs, h / 2, w / 2)``."""
        rows, others = images[:, :, ::2], images[:, :, 1::2]
        parts = (rows[..., ::2], others[..., ::2], rows[..., 1::2], others[..., 1::2])
        result: Tensor = self.conv(torch.cat(parts, 1))
        return result


class Darknet(nn.Module):
    """The CSPDarknet of YOLOX (Ge et al. 2021): maps at strides 8, 16 and 32.

    Args:
        width: channels at stride 2; they double at each later stride.
        depth: bottlenecks in the first stage; the next two have three times as many.
        depthwise: its 3 × 3 convolutions.
    """

    def __init__(self, width: int, depth: int, *, depthwise: bool) -> None:
        super().__init__()
        self.channels = (4 * width, 8 * width, 16 * width)

        def stage(inputs: int, count: int) -> nn.Sequential:
            outputs = 2 * inputs
            reduce = spatial(inputs, outputs, 2, depthwise=depthwise)
            return nn.Sequential(reduce, CrossStage(outputs, outputs, count, shortcut=True, depthwise=depthwise))

        self.stem = Focus(width)
        self.dark2, self.dark3, self.dark4 = (
            stage(width, depth),
            stage(2 * width, 3 * depth),
            stage(4 * width, 3 * depth),
        )
        deepest = 16 * width
        self.dark5 = nn.Sequential(
            spatial(8 * width, deepest, 2, depthwise=depthwise),
            PyramidPool(deepest),
            CrossStage(deepest, deepest, depth, shortcut=False, depthwise=depthwise),
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``(n, 3, h, w)`` → maps at strides 8, 16, 32 with ``channels``."""
        fine = self.dark3(self.dark2(self.stem(images)))
        middle = self.dark4(fine)
        return fine, middle, self.dark5(middle)


class Neck(nn.Module):
    """Coarse maps inform fine ones, then the way back (Liu et al. 2018, PANet).

    Args:
        channels: of the maps at strides 8, 16 and 32, which keep them.
        depthwise: its 3 × 3 convolutions.
    """

    def __init__(self, channels: tuple[int, int, int], *, depthwise: bool) -> None:
        super().__init__()
        fine, middle, coarse = channels

        def merge(inputs: int, outputs: int) -> CrossStage:
            return CrossStage(inputs, outputs, shortcut=False, depthwise=depthwise)

        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")
        self.lateral_conv0 = ConvNorm(coarse, middle, 1)
        self.C3_p4 = merge(2 * middle, middle)
        self.reduce_conv1 = ConvNorm(middle, fine, 1)
        self.C3_p3 = merge(2 * fine, fine)
        self.bu_conv2 = spatial(fine, fine, 2, depthwise=depthwise)
        self.C3_n3 = merge(2 * fine, middle)
        self.bu_conv1 = spatial(middle, middle, 2, depthwise=depthwise)
        self.C3_n4 = merge(2 * middle, coarse)

    def forward(self, fine: Tensor, middle: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps at strides 8, 16, 32 in and out."""
        lateral = self.lateral_conv0(coarse)
        joined = self.C3_p4(torch.cat([self.upsample(lateral), middle], 1))
        reduced = self.reduce_conv1(joined)
        fine_out = self.C3_p3(torch.cat([self.upsample(reduced), fine], 1))
        middle_out = self.C3_n3(torch.cat([self.bu_conv2(fine_out), reduced], 1))
        return fine_out, middle_out, self.C3_n4(torch.cat([self.bu_conv1(middle_out), lateral], 1))
