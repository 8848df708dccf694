"""The U-Net (Ronneberger, Fischer, Brox 2015, arXiv:1505.04597) with zero padding and BatchNorm.

Each level has two 3x3 convolutions, so padding changes logits at most 6 * 2^depth - 2 pixels away from an edge.
`ml.geo.windows.margin` relies on this. Layers whose output depends on the whole image (GroupNorm, InstanceNorm, global
pooling) would make exact tiling impossible.
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
    """Make an untrained net for the bands and classes of `contract`.

    It has one output for two classes, else one output for each class.
    """
    classes = len(contract.classes)
    return UNet(len(contract.bands), config.depth, config.width, outputs=1 if classes == 2 else classes)


def class_index(logits: Tensor, threshold: float = 0.5, temperature: float = 1.0) -> Tensor:
    """Return the index of the class that each pixel is mapped to, uint8 (...).

    Of two classes it is class 1 where its probability is at least `threshold`; of more classes it is the most probable.

    logits: Float32 (outputs, ...), on any device. One output is the logit of class 1 of two classes; K > 2 outputs are
        the logits of K classes.
    threshold: Least probability of class 1, between 0 and 1; without effect for more than two classes.
    temperature: As for `probability_byte`; without effect at a threshold of 0.5 and for more than two classes.
    """
    if len(logits) == 1:
        return (logits[0] >= temperature * math.log(threshold / (1 - threshold))).to(torch.uint8)
    return logits.argmax(dim=0).to(torch.uint8)


def probability_byte(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Encode probabilities p as min(249, floor(250 p)), uint8 (...), from which p is about (byte + 0.5) / 250.

    For two classes, p is the probability of class 1, 1 / (1 + exp(-logit)). For more classes, p is the softmax
    probability of the most probable class.

    logits: As for `class_index`.
    temperature: Number by which the logits are divided before.
    """
    if temperature != 1:
        logits = logits / temperature
    if len(logits) == 1:
        # 2p - 1 = tanh(logit / 2) has the sign of the logit, however small that is,
        # so the byte is at least 125 exactly where the logit is at least 0
        byte = (logits[0] / 2).tanh_().mul_(PROBABILITY_STEPS / 2).floor_().add_(PROBABILITY_STEPS / 2)
    else:
        largest = 1 / (logits - logits.amax(dim=0)).exp().sum(dim=0)
        byte = (PROBABILITY_STEPS * largest).floor()
    return byte.clamp(max=PROBABILITY_STEPS - 1).to(torch.uint8)


def uncertainty_byte(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Encode uncertainties u as min(249, floor(250 u)), uint8 (...), from which u is about (byte + 0.5) / 250.

    u is the entropy of the probabilities of the classes, divided by the largest that it can be, the logarithm of the
    number of classes: 0 where one class is certain, 1 where all are equally probable.

    logits, temperature: As for `probability_byte`.
    """
    divided = logits / temperature
    if len(divided) == 1:
        distance = divided[0].abs()  # with q = exp(-distance), the smaller probability is q / (1 + q)
        smaller = torch.exp(-distance)
        entropy = torch.log1p(smaller) + distance * smaller / (1 + smaller)
    else:
        logarithms = divided.log_softmax(dim=0)
        entropy = -(logarithms.exp() * logarithms).sum(dim=0)
    byte = (PROBABILITY_STEPS / math.log(max(len(divided), 2)) * entropy).floor()
    return byte.clamp(min=0, max=PROBABILITY_STEPS - 1).to(torch.uint8)


class UNet(nn.Module):
    """A U-Net that computes `outputs` logits for each pixel of an image with `bands` bands.

    depth: Number of poolings by 2, at least 1.
    width: Number of channels of the first level; each pooling doubles it.
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
        """Compute logits (N, outputs, H, W) of `image` (N, bands, H, W); H and W must be multiples of 2^depth."""
        levels = [self.stem(image)]
        for down in self.down:
            levels.append(down(self.pool(levels[-1])))
        features = levels.pop()
        for up in self.up:
            features = up(features, levels.pop())
        return cast(Tensor, self.head(features))


class Up(nn.Module):
    """The step up to the next finer level: a 2x2 transposed convolution, the skip connection and two convolutions.

    A transposed convolution is deterministic, which interpolation is not on every device.
    """

    def __init__(self, lower: int, upper: int) -> None:
        super().__init__()
        self.enlarge = nn.ConvTranspose2d(lower, upper, kernel_size=2, stride=2)
        self.conv = _double_conv(2 * upper, upper)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        return cast(Tensor, self.conv(torch.cat([skip, self.enlarge(features)], dim=1)))


def _double_conv(inputs: int, outputs: int) -> nn.Sequential:
    """Make two 3x3 convolutions with zero padding, each followed by BatchNorm and ReLU."""
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        convolution = nn.Conv2d(channels, outputs, kernel_size=3, padding=1, bias=False)  # BatchNorm adds the bias
        layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def turned(net: UNet, turns: int, *, mirrored: bool) -> UNet:
    """Copy `net` with turned kernels: it computes of an image what `net` computes of the turned image, turned back.

    It does so for images on the grid of the coarsest level, because convolutions, and poolings of whole cells of the
    grid, do the same in every direction.

    turns: Number of quarter turns, 0 to 3.
    mirrored: Whether the image is mirrored, too.
    """
    other = copy.deepcopy(net)
    for layer in other.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            kernel = torch.rot90(layer.weight.detach(), turns, (2, 3))
            layer.weight = nn.Parameter((kernel.flip(3) if mirrored else kernel).contiguous())
    return other


def folded(net: UNet) -> UNet:
    """Copy `net` with BatchNorm folded into its convolutions.

    The copy is in eval mode, needs no gradients, and computes the same logits up to rounding.
    """
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
