"""The U-Net (Ronneberger, Fischer, Brox 2015, arXiv:1505.04597), padded, with BatchNorm.

With two 3x3 convolutions a level, padding changes at most 6 * 2^depth - 2 pixels from an edge: `ml.geo.windows.margin`
rests on it. Layers that see the whole image (GroupNorm, InstanceNorm, global pooling) would break exact tiling.
"""

import copy
import math
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ml.config import NetConfig
from ml.contract import Contract

PROBABILITY_STEPS = 250


def make_net(contract: Contract, config: NetConfig) -> "UNet":
    """A fresh net for the bands and classes of `contract`: one logit for two classes, else one for each."""
    classes = len(contract.classes)
    return UNet(len(contract.bands), config.depth, config.width, outputs=1 if classes == 2 else classes)


def class_index(logits: Tensor, threshold: float = 0.5) -> Tensor:
    """Index of the mapped class, uint8 (...): class 1 of two from `threshold` on, else the likeliest.

    logits: float32 (outputs, ...), on any device. One output is the logit of class 1 of two; K > 2 are those of K.
    """
    if len(logits) == 1:
        return (logits[0] >= math.log(threshold / (1 - threshold))).to(torch.uint8)
    return logits.argmax(dim=0).to(torch.uint8)


def probability_byte(logits: Tensor) -> Tensor:
    """min(249, floor(250 p)), uint8 (...): p is about (byte + 0.5) / 250.

    p: the probability of class 1 of two, 1 / (1 + exp(-logit)); else that of the likeliest class, by softmax. logits:
    as of `class_index`.
    """
    if len(logits) == 1:
        # 2p - 1 = tanh(logit / 2), which has the logit's sign however small it is: 125 or more exactly from 0 on
        byte = (logits[0] / 2).tanh_().mul_(PROBABILITY_STEPS / 2).floor_().add_(PROBABILITY_STEPS / 2)
    else:
        likeliest = 1 / (logits - logits.amax(dim=0)).exp().sum(dim=0)
        byte = (PROBABILITY_STEPS * likeliest).floor()
    return byte.clamp(max=PROBABILITY_STEPS - 1).to(torch.uint8)


class UNet(nn.Module):
    """Images of `bands` bands to `outputs` logits a pixel.

    depth: poolings by 2, at least 1. width: channels of the first level, doubled with each pooling.
    """

    def __init__(self, bands: int, depth: int, width: int, outputs: int = 1) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(depth + 1)]
        self.bands, self.depth, self.width, self.outputs = bands, depth, width, outputs
        self.stem = _double_conv(bands, width)
        self.pool = nn.MaxPool2d(2)
        self.down = nn.ModuleList(_double_conv(upper, lower) for upper, lower in pairwise(widths))
        self.up = nn.ModuleList(Up(lower, upper) for upper, lower in reversed(list(pairwise(widths))))
        self.head = nn.Conv2d(width, outputs, kernel_size=1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of shape (N, outputs, H, W) for `image` of shape (N, bands, H, W); H and W multiples of 2^depth."""
        levels = [self.stem(image)]
        for down in self.down:
            levels.append(down(self.pool(levels[-1])))
        features = levels.pop()
        for up in self.up:
            features = up(features, levels.pop())
        return cast(Tensor, self.head(features))


class Up(nn.Module):
    """One step back to the finer level: up-convolution 2x2 (no interpolation, so deterministic), skip, convolutions."""

    def __init__(self, lower: int, upper: int) -> None:
        super().__init__()
        self.enlarge = nn.ConvTranspose2d(lower, upper, kernel_size=2, stride=2)
        self.conv = _double_conv(2 * upper, upper)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        return cast(Tensor, self.conv(torch.cat([skip, self.enlarge(features)], dim=1)))


def _double_conv(inputs: int, outputs: int) -> nn.Sequential:
    """Twice: 3x3 convolution with zero padding, BatchNorm, ReLU."""
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        convolution = nn.Conv2d(channels, outputs, kernel_size=3, padding=1, bias=False)  # BatchNorm has the bias
        layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def folded(net: UNet) -> UNet:
    """A frozen copy of `net`, in eval mode, that computes the same with BatchNorm folded into the convolutions."""
    plain = copy.deepcopy(net).eval().requires_grad_(False)
    for block in list(plain.modules()):
        if isinstance(block, nn.Sequential):
            _fold_batch_norm(block)
    return plain


def _fold_batch_norm(block: nn.Sequential) -> None:
    for index, (layer, follower) in enumerate(pairwise(list(block))):
        if isinstance(layer, nn.Conv2d) and isinstance(follower, nn.BatchNorm2d):
            block[index] = fuse_conv_bn_eval(layer, follower)
            block[index + 1] = nn.Identity()
