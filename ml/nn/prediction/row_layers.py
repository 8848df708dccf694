"""Layers of a net that compute an image row by row, with the rows that they keep for the following ones.

A convolution keeps the last two rows of its input. A pooling keeps a row that has no partner yet. A skip connection
keeps the rows that the levels below have not reached yet. See `ml.nn.prediction.row_stream`.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ml.nn.prediction.engines.engine import COLS, ROWS, Engine, PixelLayer, Rows, height

INPUT_BYTES = 8 << 20  # of the input of a convolution on a CPU, for each thread, so that it stays in the caches


class PixelwiseLayer:
    """A prepared 1x1 convolution or 2x2 transposed convolution, whose input may have no rows."""

    def __init__(self, layer: PixelLayer, engine: Engine) -> None:
        self._operate = engine.pixelwise(layer)
        self._outputs, self._scale = layer.out_channels, layer.stride[0]

    def __call__(self, features: Tensor) -> Tensor:
        if not features.shape[ROWS]:
            return _no_rows(features, self._outputs, features.shape[COLS] * self._scale)
        return self._operate(features.contiguous(memory_format=torch.channels_last))


def _no_rows(like: Tensor, channels: int, cols: int) -> Tensor:
    """Return a tensor without rows, which a layer outputs if its input has too few rows."""
    return like.new_empty(1, channels, 0, cols)


class RowLayer:
    """A prepared 3x3 convolution with ReLU.

    inputs, outputs: Numbers of channels.
    """

    def __init__(self, layer: nn.Conv2d, engine: Engine, branches: int) -> None:
        """Prepare `layer`.

        branches: Number of tensors that are concatenated along the channels to the input.
        """
        self._convolve = engine.convolution(layer, branches)
        self.inputs, self.outputs = layer.in_channels, layer.out_channels

    def convolve(self, branches: Sequence[Rows], above: int, below: int) -> Tensor:
        """Compute the convolution, see `Engine.convolution`; too few rows of input give an output without rows."""
        if height(branches[0]) + above + below < 3:
            like = branches[0][0]
            return _no_rows(like, self.outputs, like.shape[COLS])
        return self._convolve(branches, above, below)


class _RowContext:
    """A convolution that keeps the last two rows of its input.

    Above the first row of the image there is a row of zeros, as padding.
    """

    def __init__(self, layer: RowLayer) -> None:
        self._layer = layer
        self._before: Sequence[Rows] | None = None

    def convolve(self, branches: Sequence[Rows], last: bool) -> Tensor:
        """Compute the rows of output that become known with `branches`.

        branches: Next rows of the input, the same number in each branch.
        last: Whether the image ends with these rows, so that a row of zeros follows as padding.
        """
        known = 0 if self._before is None else height(self._before[0])
        if self._before is not None:
            branches = [_some(before + branch) for before, branch in zip(self._before, branches, strict=True)]
        self._before = [_last_two(branch) for branch in branches]
        return self._layer.convolve(branches, above=int(known < 2), below=int(last))


def _some(rows: Rows) -> Rows:
    """Remove tensors without rows, but keep at least one tensor."""
    return [piece for piece in rows if piece.shape[ROWS]] or rows[:1]


def _last_two(rows: Rows) -> Rows:
    """Copy the last two rows, so that the memory of the rows before them can be freed."""
    end = rows[-1][:, :, -2:]
    if end.shape[ROWS] < 2 and len(rows) > 1:
        return [torch.cat([rows[-2][:, :, -1:], end], dim=ROWS)]
    return [end.clone(memory_format=torch.channels_last)]


class Block:
    """The two convolutions of a level, for one image."""

    def __init__(self, layers: Sequence[RowLayer]) -> None:
        self._contexts = [_RowContext(layer) for layer in layers]
        self._channels = max(layer.inputs for layer in layers)

    def flow(self, inputs: Iterable[Sequence[Rows]], last: bool) -> Iterator[Tensor]:
        """Compute the rows of output that become known with `inputs`, and yield them in pieces.

        inputs: At least one input; each consists of branches for `_RowContext.convolve`.
        last: Whether the image ends with these inputs.
        """
        for branches in inputs:
            rows = height(branches[0])
            step = self._rows_at_a_time(rows, branches[0][0])
            queues = [(RowQueue(branch), branch[0]) for branch in branches]
            for first in range(0, max(rows, 1), step):
                yield self._through([queue.take(min(step, rows - first), like) for queue, like in queues], last=False)
        if last:
            yield self._through([[branch[0][:, :, :0]] for branch in branches], last=True)

    def _through(self, branches: Sequence[Rows], last: bool) -> Tensor:
        for context in self._contexts:
            branches = [[context.convolve(branches, last)]]
        return branches[0][0]

    def _rows_at_a_time(self, rows: int, like: Tensor) -> int:
        """Return how many of `rows` rows to compute at a time: on a CPU a multiple of 4, the rows of a Winograd tile.

        A GPU computes all of them at once, because each start of a convolution costs it as much as thousands of pixels.
        """
        if like.device.type != "cpu":
            return max(rows, 1)
        fit = INPUT_BYTES * torch.get_num_threads() // (self._channels * like.shape[COLS] * like.element_size())
        return max(fit // 4 * 4, 4)


class RowPooling:
    """Max pooling by 2 that keeps a row until the next row completes the pair."""

    def __init__(self) -> None:
        self._odd: Tensor | None = None

    def pool(self, features: Tensor) -> Rows:
        """Return the pooled rows that become known with the next rows `features`."""
        first = []
        if self._odd is not None and features.shape[ROWS]:
            first = [functional.max_pool2d(torch.cat([self._odd, features[:, :, :1]], dim=ROWS), 2)]
            self._odd, features = None, features[:, :, 1:]
        even = features.shape[ROWS] // 2 * 2
        if even < features.shape[ROWS]:
            self._odd = features[:, :, even:].clone()
        rest = functional.max_pool2d(features[:, :, :even], 2) if even else features[:, :, :0, ::2]
        return [*first, rest]


class RowQueue:
    """A queue of rows."""

    def __init__(self, rows: Iterable[Tensor] = ()) -> None:
        self._pieces = deque(rows)

    def put(self, features: Tensor) -> None:
        """Append the rows `features`."""
        self._pieces.append(features)

    def take(self, count: int, like: Tensor) -> Rows:
        """Remove and return the `count` oldest rows; for 0, return a view of `like` without rows."""
        pieces = list[Tensor]()
        while count:
            piece = self._pieces.popleft()
            pieces.append(piece[:, :, :count])
            if count < piece.shape[ROWS]:
                self._pieces.appendleft(piece[:, :, count:])
            count -= pieces[-1].shape[ROWS]
        return pieces or [like[:, :, :0]]


def convolutions(block: nn.Sequential, engine: Engine, branches: int) -> list[RowLayer]:
    """Prepare the two convolutions of `block`.

    branches: Number of tensors that are concatenated to the input of the first convolution.
    """
    first, second = (layer for layer in block if isinstance(layer, nn.Conv2d))
    return [RowLayer(first, engine, branches), RowLayer(second, engine, 1)]
