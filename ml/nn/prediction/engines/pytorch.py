"""The engine that uses PyTorch's layers, which work on any device and in any precision."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ml.nn.prediction.engines.engine import Convolution, Engine, Operation, PixelLayer, Rows
from ml.nn.prediction.engines.input_buffer import InputBuffer


def _convolution(layer: nn.Conv2d, _branches: int) -> Convolution:
    weight, bias = layer.weight.detach().contiguous(memory_format=torch.channels_last), layer.bias
    buffer = InputBuffer(layer.in_channels, weight)

    def convolve(branches: Sequence[Rows], above: int, below: int) -> Tensor:
        return torch.conv2d(buffer.fill(branches, above, below), weight, bias).relu_()

    return convolve


def _pixelwise(layer: PixelLayer) -> Operation:
    weight, bias = layer.weight.detach(), layer.bias
    if isinstance(layer, nn.ConvTranspose2d):
        return lambda features: torch.conv_transpose2d(features, weight, bias, stride=2)
    matrix = weight.flatten(1)  # with few outputs, a matrix product is several times faster than a convolution
    return lambda features: functional.linear(features.permute(0, 2, 3, 1), matrix, bias).permute(0, 3, 1, 2)


_VERSION = f"{torch.__version__}, {torch.backends.cpu.get_cpu_capability()}"  # like "2.13.0+cpu, AVX2"
ENGINE = Engine("torch", _VERSION, _convolution, _pixelwise)
