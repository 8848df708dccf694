"""PyTorch's own convolutions: they run anywhere, on any device and in any precision."""

import torch
from torch import Tensor, nn

from ml.nn.engines.engine import Convolution, Engine


def _prepare(layer: nn.Conv2d) -> Convolution:
    weight, bias = layer.weight.detach().contiguous(memory_format=torch.channels_last), layer.bias

    def convolve(window: Tensor) -> Tensor:
        return torch.conv2d(window, weight, bias).relu_()

    return convolve


ENGINE = Engine("torch", torch.channels_last, _prepare)
