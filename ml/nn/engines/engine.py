"""What an engine is."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Convolution = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Engine:
    """A way to compute the convolutions of a net, which takes nearly all of its time.

    memory_format: of the tensors that its convolutions take and give.
    prepare: makes of a 3x3 convolution with bias and without padding a function from (1, inputs, rows + 2, cols + 2) to
        (1, outputs, rows, cols) that applies ReLU, too. The function must not be called by two threads at once, and may
        give the memory of its result back as soon as nobody refers to it.
    """

    name: str
    memory_format: torch.memory_format
    prepare: Callable[[nn.Conv2d], Convolution]
