"""Nets for the tests of prediction, and what they compute."""

from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ml.nn.prediction.row_stream import for_prediction
from ml.nn.unet import UNet


def net_with_a_past(bands: int, depth: int, seed: int, width: int = 4) -> UNet:
    """Make a net in eval mode whose logits have a size of several units and depend on distant pixels.

    Tiling with 5/6 of the margin would change its logits.
    """
    torch.manual_seed(seed)
    net = UNet(bands, depth, width)
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.uniform_(1, 3)
                layer.bias.normal_()
        for _ in range(20):
            net(torch.randn(2, bands, 64, 64))
        net.head.weight *= 10
    return net.eval()


class _Convolutions(TorchFunctionMode):
    """Counts the convolutions, without the transposed ones that enlarge."""

    count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.conv2d
        return func(*args, **(kwargs or {}))


def convolutions_of_a_piece(depth: int, before: int = 3) -> int:
    """The convolutions of a piece after some others, on the device "meta", which takes the way of a GPU.

    before: Number of the others.
    """
    device = torch.device("meta")
    stream = for_prediction(UNet(3, depth, 4), device).open()
    piece = torch.empty(3, 8 << depth, 4 << depth, device=device)
    for _ in range(before):
        stream.feed(piece)
    counted = _Convolutions()
    with counted:
        stream.feed(piece)
    count: int = counted.count
    return count
