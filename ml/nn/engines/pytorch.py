"""PyTorch's own layers: they run anywhere, on any device and in any precision. All channels are lanes."""

import torch
from torch import Tensor, nn

from ml.nn.engines.engine import Engine, Layer, Operation


def _prepare(layer: Layer, relu: bool) -> Operation:
    weight, bias = layer.weight.detach().contiguous(memory_format=torch.channels_last), layer.bias

    def operate(window: Tensor) -> Tensor:
        if isinstance(layer, nn.ConvTranspose2d):
            result = torch.conv_transpose2d(window, weight, bias, stride=2)
        else:
            result = torch.conv2d(window, weight, bias)
        return result.relu_() if relu else result

    return operate


ENGINE = Engine("torch", lambda channels, parts: channels, _prepare)
