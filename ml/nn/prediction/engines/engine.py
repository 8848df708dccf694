"""The interface of an engine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

PixelLayer = nn.Conv2d | nn.ConvTranspose2d
ROWS, COLS = 2, 3  # axes of (1, channels, rows, cols)
Rows = list[Tensor]  # at least one tensor (1, channels, rows, cols); the rows of each follow those of the one before
Convolution = Callable[[Sequence[Rows], int, int], Tensor]
Operation = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Engine:
    """A way to compute the layers of a net, which takes nearly all of the time of a prediction.

    Tensors have the shape (1, channels, rows, cols) and are channels last in memory: the channels of a pixel lie side
    by side. They are float32; only PyTorch's engine takes other dtypes.

    name: Name of the engine in a config.
    version: The library that computes, how it was built, and for which CPU instructions. Another version may compute
        other bits from the same input.
    convolution: Prepares a 3x3 convolution with a bias whose input is the concatenation of several branches along the
        channels. Takes the layer and the number of branches, and returns a function that computes the convolution with
        ReLU. That function takes the branches and the numbers of rows of zeros above and below them (0 or 1 each). It
        adds a column of zeros on the left and on the right, and returns two rows less than it gets, zeros included,
        but at least one row.
    pixelwise: Prepares a 1x1 convolution or a 2x2 transposed convolution with a bias. Takes the layer, and returns a
        function from its input to its output.

    Two threads must not call a function at the same time. The memory of a returned tensor may be reused as soon as
    nothing refers to the tensor.
    """

    name: str
    version: str
    convolution: Callable[[nn.Conv2d, int], Convolution]
    pixelwise: Callable[[PixelLayer], Operation]


def height(rows: Rows) -> int:
    """Return the total number of rows."""
    return sum(tensor.shape[ROWS] for tensor in rows)
