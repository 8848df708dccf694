"""One tensor put together from rows and parts, for engines that want the input of a convolution so."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ml.nn.prediction.engines.engine import COLS, ROWS, Rows, height


class InputBuffer:
    """The memory of a convolution's input, which is used again each time."""

    def __init__(self, channels: int, like: Tensor) -> None:
        """like: of the type and on the device wanted."""
        self._channels = channels
        self._memory = like.new_empty(0)

    def fill(self, parts: Sequence[Rows], above: int, below: int) -> Tensor:
        """`parts` one after the other by channels, with zeros around them: (1, channels, rows, cols + 2)."""
        rows, cols = height(parts[0]), parts[0][0].shape[COLS]
        window = self._of(above + rows + below, cols + 2)
        window[:, :, :above] = 0
        window[:, :, above + rows :] = 0
        inside = window[:, :, above : above + rows, 1:-1]
        for place, part in zip(inside.chunk(len(parts), dim=1), parts, strict=True):
            row = 0
            for piece in part:
                end = row + piece.shape[ROWS]
                place[:, :, row:end] = piece
                row = end
        return window

    def _of(self, rows: int, cols: int) -> Tensor:
        """With anything in it but for zeros on the left and right."""
        shape = (1, self._channels, rows, cols)
        if self._memory.shape != shape:
            like, last = self._memory, torch.channels_last
            self._memory = torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=last)
            self._memory[..., 0] = self._memory[..., -1] = 0
        return self._memory
