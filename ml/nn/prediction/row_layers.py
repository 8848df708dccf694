"""What the layers of a net do with an image that comes row by row, and what they remember of it.

A convolution keeps the last two rows it was given, a pooling an odd row, a skip connection what the levels below have
not caught up with. See `ml.nn.prediction.row_stream`.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ml.nn.prediction.engines.engine import COLS, ROWS, Engine, PixelLayer, Rows, height

INPUT_BYTES = 8 << 20  # of a convolution on a CPU, for each thread: so much stays in its caches


class EachPixel:
    """A prepared layer that looks at single pixels, and may be given no row at all."""

    def __init__(self, layer: PixelLayer, engine: Engine) -> None:
        self._operate = engine.each_pixel(layer)
        self._outputs, self._scale = layer.out_channels, layer.stride[0]

    def __call__(self, features: Tensor) -> Tensor:
        if not features.shape[ROWS]:
            return _no_rows(features, self._outputs, features.shape[COLS] * self._scale)
        return self._operate(features.contiguous(memory_format=torch.channels_last))


def _no_rows(like: Tensor, channels: int, cols: int) -> Tensor:
    """What a layer makes of too few rows."""
    return like.new_empty(1, channels, 0, cols)


class RowLayer:
    """A prepared convolution."""

    def __init__(self, layer: nn.Conv2d, engine: Engine, parts: int) -> None:
        """parts: that an input is put together from."""
        self._convolve = engine.convolution(layer, parts)
        self.inputs, self.outputs = layer.in_channels, layer.out_channels

    def convolve(self, parts: Sequence[Rows], above: int, below: int) -> Tensor:
        """See `Engine.convolution`; of too few rows, none come out."""
        if height(parts[0]) + above + below < 3:
            like = parts[0][0]
            return _no_rows(like, self.outputs, like.shape[COLS])
        return self._convolve(parts, above, below)


class _Context:
    """A convolution with what it remembers: the last two rows of its input, at first the one of zeros above."""

    def __init__(self, layer: RowLayer) -> None:
        self._layer = layer
        self._before: Sequence[Rows] | None = None

    def convolve(self, parts: Sequence[Rows], last: bool) -> Tensor:
        """Of `parts`, one after the other by channels, all of n rows; last: zeros follow below."""
        known = 0 if self._before is None else height(self._before[0])
        if self._before is not None:
            parts = [_some(before + part) for before, part in zip(self._before, parts, strict=True)]
        self._before = [_last_two(part) for part in parts]
        return self._layer.convolve(parts, above=int(known < 2), below=int(last))


def _some(rows: Rows) -> Rows:
    """Without tensors of no rows, if it can be."""
    return [piece for piece in rows if piece.shape[ROWS]] or rows[:1]


def _last_two(rows: Rows) -> Rows:
    """In memory of their own, so that the rows before them are let go."""
    end = rows[-1][:, :, -2:]
    if end.shape[ROWS] < 2 and len(rows) > 1:
        return [torch.cat([rows[-2][:, :, -1:], end], dim=ROWS)]
    return [end.clone(memory_format=torch.channels_last)]


class Block:
    """The two convolutions of a level."""

    def __init__(self, layers: Sequence[RowLayer]) -> None:
        self._contexts = [_Context(layer) for layer in layers]
        self._channels = max(layer.inputs for layer in layers)

    def flow(self, inputs: Iterable[Sequence[Rows]], last: bool) -> Iterator[Tensor]:
        """What they make of `inputs`, at least one, in pieces; last: zeros follow below.

        An input consists of parts for `_Context.convolve`.
        """
        for parts in inputs:
            rows, step = height(parts[0]), self._rows(parts[0][0])
            waiting = [(Queue(part), part[0]) for part in parts]
            for first in range(0, max(rows, 1), step):
                yield self._through([queue.take(min(step, rows - first), like) for queue, like in waiting], last=False)
        if last:
            yield self._through([[part[0][:, :, :0]] for part in parts], last=True)

    def _through(self, parts: Sequence[Rows], last: bool) -> Tensor:
        for context in self._contexts:
            parts = [[context.convolve(parts, last)]]
        return parts[0][0]

    def _rows(self, like: Tensor) -> int:
        """That flow through at once: on a CPU, a few of Winograd's tiles, which have 4."""
        if like.device.type != "cpu":
            return max(like.shape[ROWS], 1)
        fit = INPUT_BYTES * torch.get_num_threads() // (self._channels * like.shape[COLS] * like.element_size())
        return max(fit // 4 * 4, 4)


class Pairs:
    """Max pooling by 2 with what it remembers: a row without its pair."""

    def __init__(self) -> None:
        self._odd: Tensor | None = None

    def pool(self, features: Tensor) -> Rows:
        """What becomes known with `features`."""
        first = []
        if self._odd is not None and features.shape[ROWS]:
            first = [functional.max_pool2d(torch.cat([self._odd, features[:, :, :1]], dim=ROWS), 2)]
            self._odd, features = None, features[:, :, 1:]
        even = features.shape[ROWS] // 2 * 2
        if even < features.shape[ROWS]:
            self._odd = features[:, :, even:].clone()
        rest = functional.max_pool2d(features[:, :, :even], 2) if even else features[:, :, :0, ::2]
        return [*first, rest]


class Queue:
    """Rows that wait."""

    def __init__(self, rows: Iterable[Tensor] = ()) -> None:
        self._pieces = deque(rows)

    def put(self, features: Tensor) -> None:
        """Let `features` wait."""
        self._pieces.append(features)

    def take(self, count: int, like: Tensor) -> Rows:
        """So many, the oldest; none are like `like`."""
        pieces = list[Tensor]()
        while count:
            piece = self._pieces.popleft()
            pieces.append(piece[:, :, :count])
            if count < piece.shape[ROWS]:
                self._pieces.appendleft(piece[:, :, count:])
            count -= pieces[-1].shape[ROWS]
        return pieces or [like[:, :, :0]]


def convolutions(block: nn.Sequential, engine: Engine, parts: int) -> list[RowLayer]:
    """Those of `block`; parts: that the input of the first is put together from."""
    first, second = (layer for layer in block if isinstance(layer, nn.Conv2d))
    return [RowLayer(first, engine, parts), RowLayer(second, engine, 1)]
