"""Nets for the tests of prediction."""

import torch
from torch import nn

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
