"""What an engine is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

PixelLayer = nn.Conv2d | nn.ConvTranspose2d
ROWS, COLS = 2, 3  # axes of (1, channels, rows, cols)
Rows = list[Tensor]  # at least one, whose rows follow one another
Convolution = Callable[[Sequence[Rows], int, int], Tensor]
Operation = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Engine:
    """A way to compute the layers of a net, which takes nearly all of its time.

    Its tensors have the shape (1, channels, rows, cols), in memory channels last: the channels of a pixel lie side by
    side. They are float32 but for PyTorch.

    name: as a config names it. version: which library computes, how it was built and for which instructions of a CPU;
        with another version the same input may give other bits.
    convolution: makes of a 3x3 convolution with a bias, and of how many parts its input has, a function that computes
        it with ReLU: of the parts, which stand one after the other by channels, with zeros on the left and right and so
        many rows of zeros above and below (0 or 1). Two rows less come out, at least one.
    each_pixel: makes of a convolution 1x1 or an up-convolution 2x2, with a bias, a function from input to output.

    The functions must not be called by two threads at once. What they return may give its memory back as soon as
    nobody refers to it.
    """

    name: str
    version: str
    convolution: Callable[[nn.Conv2d, int], Convolution]
    each_pixel: Callable[[PixelLayer], Operation]


def height(rows: Rows) -> int:
    """How many rows there are."""
    return sum(tensor.shape[ROWS] for tensor in rows)
