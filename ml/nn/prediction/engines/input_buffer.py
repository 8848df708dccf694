"""A buffer for engines that need the input of a convolution as one tensor."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ml.nn.prediction.engines.engine import COLS, ROWS, Rows, height


class InputBuffer:
    """Memory for the input of a convolution, which is reused for each input of the same size."""

    def __init__(self, channels: int, like: Tensor) -> None:
        """Make an empty buffer.

        channels: Number of channels of the input.
        like: Tensor with the dtype and the device of the buffer.
        """
        self._channels = channels
        self._memory = like.new_empty(0)

    def fill(self, branches: Sequence[Rows], above: int, below: int) -> Tensor:
        """Concatenate `branches` along the channels and surround them by zeros.

        above, below: Numbers of rows of zeros above and below the branches.

        Returns:
            The buffer, (1, channels, above + rows + below, cols + 2), valid until the next call.
        """
        rows, cols = height(branches[0]), branches[0][0].shape[COLS]
        buffer = self._resized(above + rows + below, cols + 2)
        buffer[:, :, :above] = 0
        buffer[:, :, above + rows :] = 0
        inside = buffer[:, :, above : above + rows, 1:-1]
        for target, branch in zip(inside.chunk(len(branches), dim=1), branches, strict=True):
            row = 0
            for piece in branch:
                end = row + piece.shape[ROWS]
                target[:, :, row:end] = piece
                row = end
        return buffer

    def _resized(self, rows: int, cols: int) -> Tensor:
        """Return the buffer with the given size; its first and last column are zero, the rest is undefined."""
        shape = (1, self._channels, rows, cols)
        if self._memory.shape != shape:
            like, last = self._memory, torch.channels_last
            self._memory = torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=last)
            self._memory[..., 0] = self._memory[..., -1] = 0
        return self._memory
