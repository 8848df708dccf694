"""What an engine is."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

Layer = nn.Conv2d | nn.ConvTranspose2d
Operation = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Engine:
    """A way to compute the layers of a net, which takes nearly all of its time.

    Its tensors have the shape (groups, lanes, rows, cols), in memory channels last: the lanes of a pixel lie side by
    side. Channel c of the net is lane c % lanes of group c // lanes.

    lanes: of a tensor of so many channels, which are put together from so many equal parts.
    prepare: makes of a layer without padding a function from its input to its output, with ReLU if told so. The layer
        is a convolution of 3x3 or 1x1 with a bias, or an up-convolution 2x2. The function must not be called by two
        threads at once, and may give the memory of its result back as soon as nobody refers to it.
    """

    name: str
    lanes: Callable[[int, int], int]
    prepare: Callable[[Layer, bool], Operation]


def arranged(features: Tensor, lanes: int) -> Tensor:
    """`features`, (groups, lanes, rows, cols), with so many lanes; a view where memory allows."""
    groups = features.shape[0] * features.shape[1] // lanes
    return features.reshape(groups, lanes, *features.shape[2:])
