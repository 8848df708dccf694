"""A U-Net through which an image flows row by row, from the top down: exact, and no row is computed twice.

Each convolution keeps the last two rows it was given, each pooling an odd row, and each skip connection what the levels
below have not caught up with. So the rows that come out belong to an image without seams, whatever the sizes of the
pieces that went in; they come `late`, after the rows below them that the net must see. At the image's top and bottom
each layer sees the zeros that padding would have put there.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ml.geo.windows import margin
from ml.nn.engines.choice import choose
from ml.nn.engines.engine import COLS, ROWS, Engine, PixelLayer, Rows, arranged, height
from ml.nn.engines.pytorch import ENGINE as TORCH
from ml.nn.inputs import choose_precision
from ml.nn.unet import UNet, Up, folded

TRIAL_COLS = 512  # of what engines are compared by
STRIPE_BYTES = 256 << 20  # of what waits for other levels; a wide scene is cut into stripes for which that is enough
WINDOW_BYTES = 8 << 20  # of a convolution's input on a CPU, for each thread: so much stays in its caches


class StreamNet:
    """The weights of a U-Net, made ready for one thread that predicts on one device.

    rows: of the pieces that flow through it best.
    """

    def __init__(self, net: UNet, engine: Engine, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        """dtype: that it computes in; logits are float32 all the same."""
        plain = folded(net).to(device, dtype)
        self.bands, self.depth, self.outputs = net.bands, net.depth, net.outputs
        self.device, self.dtype = device, dtype
        self.engine = engine.name
        # 64 rows are 4 at depth 4, one tile of Winograd's; a GPU wants larger pieces
        self.rows = max(256 if self.device.type == "cuda" else 64, 4 << net.depth)
        down = (plain.stem, *cast(Iterable[nn.Sequential], plain.down))
        up = [*cast(Iterable[Up], plain.up)]
        self.down = [_convolutions(block, engine, 1) for block in down]
        self.up = [_convolutions(step.conv, engine, 2) for step in up]
        self.enlarge = [_EachPixel(step.enlarge, engine) for step in up]
        self.head = _EachPixel(plain.head, engine)
        # each level has twice the channels of the one above, half of its rows and half of its columns
        bytes_a_column = 2 * net.width * (self.rows + margin(net.depth)) * dtype.itemsize
        self.stripe_px = max(STRIPE_BYTES // bytes_a_column, 8 * margin(net.depth))

    def open(self) -> "Stream":
        """A new image to flow through."""
        return Stream(self)

    def __call__(self, image: Tensor) -> Tensor:
        """Logits, float32 (outputs, rows, cols), of a whole image (bands, rows, cols) on the device of the net."""
        return self.open().feed(image, last=True)


class Stream:
    """One image on its way through a `StreamNet`."""

    def __init__(self, net: StreamNet) -> None:
        self._net = net
        self._down = [_Block(block) for block in net.down]
        self._pools = [_Pairs() for _ in net.up]
        self._skips = [_Queue() for _ in net.up]
        self._up = [_Block(block) for block in net.up]

    @torch.inference_mode()
    def feed(self, image: Tensor, *, last: bool = False) -> Tensor:
        """The next rows of logits, float32 (outputs, m, cols), that `image` makes known; m may be 0.

        image: float32 (bands, n, cols), the rows after those that were fed before; all widths are one multiple of
        2^depth. last: the image ends here, its height being a multiple of 2^depth, and so do the logits.
        """
        top = image[None].to(self._net.dtype, memory_format=torch.channels_last)
        pieces = self._down[0].flow([[[top]]], last)
        for pairs, skips, block in zip(self._pools, self._skips, self._down[1:], strict=True):
            pooled = [row for piece in pieces for row in pairs.pool(skips.put(piece))]
            pieces = block.flow([[pooled]], last)
        for enlarge, skips, block in zip(self._net.enlarge, reversed(self._skips), self._up, strict=True):
            pieces = block.flow(_beside(skips, map(enlarge, pieces)), last)
        logits = torch.cat([*map(self._net.head, pieces)], dim=ROWS)
        return arranged(logits, self._net.outputs)[0].float()


def _beside(skips: "_Queue", pieces: Iterable[Tensor]) -> Iterator[Sequence[Rows]]:
    """Each piece with the rows of the skip connection that belong to it."""
    return ([skips.take(piece.shape[ROWS], piece), [piece]] for piece in pieces)


class _EachPixel:
    """A prepared layer that looks at single pixels, and may be given no row at all."""

    def __init__(self, layer: PixelLayer, engine: Engine) -> None:
        self._operate = engine.each_pixel(layer)
        self._lanes, self._out_lanes = engine.lanes(layer.in_channels, 1), engine.lanes(layer.out_channels, 1)
        self._outputs, self._scale = layer.out_channels, layer.stride[0]

    def __call__(self, features: Tensor) -> Tensor:
        if not features.shape[ROWS]:
            return _no_rows(features, self._outputs, self._out_lanes, features.shape[COLS] * self._scale)
        return self._operate(arranged(features, self._lanes).contiguous(memory_format=torch.channels_last))


def _no_rows(like: Tensor, channels: int, lanes: int, cols: int) -> Tensor:
    """What a layer makes of too few rows."""
    return like.new_empty(channels // lanes, lanes, 0, cols)


class _Layer:
    """A prepared convolution."""

    def __init__(self, layer: nn.Conv2d, engine: Engine, parts: int) -> None:
        """parts: that an input is put together from."""
        self._convolve = engine.convolution(layer, parts)
        self.inputs, self.outputs = layer.in_channels, layer.out_channels
        self._out_lanes = engine.lanes(self.outputs, 1)

    def convolve(self, parts: Sequence[Rows], above: int, below: int) -> Tensor:
        """See `Engine.convolution`; of too few rows, none come out."""
        if height(parts[0]) + above + below < 3:
            like = parts[0][0]
            return _no_rows(like, self.outputs, self._out_lanes, like.shape[COLS])
        return self._convolve(parts, above, below)


class _Context:
    """A convolution with what it remembers: the last two rows of its input, at first the one of zeros above."""

    def __init__(self, layer: _Layer) -> None:
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


class _Block:
    """The two convolutions of a level."""

    def __init__(self, layers: Sequence[_Layer]) -> None:
        self._contexts = [_Context(layer) for layer in layers]
        self._channels = max(layer.inputs for layer in layers)

    def flow(self, inputs: Iterable[Sequence[Rows]], last: bool) -> Iterator[Tensor]:
        """What they make of `inputs`, at least one, in pieces; last: zeros follow below.

        An input consists of parts for `_Context.convolve`.
        """
        for parts in inputs:
            rows, step = height(parts[0]), self._rows(parts[0][0])
            waiting = [(_Queue(part), part[0]) for part in parts]
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
        fit = WINDOW_BYTES * torch.get_num_threads() // (self._channels * like.shape[COLS] * like.element_size())
        return max(fit // 4 * 4, 4)


class _Pairs:
    """Max pooling by 2 with what it remembers: a row without its pair."""

    def __init__(self) -> None:
        self._odd: Tensor | None = None

    def pool(self, features: Tensor) -> Rows:
        first = []
        if self._odd is not None and features.shape[ROWS]:
            first = [functional.max_pool2d(torch.cat([self._odd, features[:, :, :1]], dim=ROWS), 2)]
            self._odd, features = None, features[:, :, 1:]
        even = features.shape[ROWS] // 2 * 2
        if even < features.shape[ROWS]:
            self._odd = features[:, :, even:].clone()
        rest = functional.max_pool2d(features[:, :, :even], 2) if even else features[:, :, :0, ::2]
        return [*first, rest]


class _Queue:
    """Rows that wait."""

    def __init__(self, rows: Iterable[Tensor] = ()) -> None:
        self._pieces = deque(rows)

    def put(self, features: Tensor) -> Tensor:
        """Let `features`, which are returned, wait."""
        self._pieces.append(features)
        return features

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


def _convolutions(block: nn.Sequential, engine: Engine, parts: int) -> list[_Layer]:
    """Those of `block`; parts: that the input of the first is put together from."""
    first, second = (layer for layer in block if isinstance(layer, nn.Conv2d))
    return [_Layer(first, engine, parts), _Layer(second, engine, 1)]


def for_prediction(
    net: UNet, device: torch.device | None = None, *, engine: str = "auto", precision: str = "auto"
) -> StreamNet:
    """`net` made ready to predict fast, by one thread at a time; `net` itself stays as it is.

    device: None takes that of `net`. engine: "auto" or the name of one, see `ml.nn.engines.choice.choose`; beside
    float32 on a CPU there is torch alone. precision: "float32", "bfloat16" or "auto", the latter on a GPU that has it.

    Raises:
        InputRefused: code `no_engine`.
    """
    device = device or next(net.parameters()).device
    dtype = choose_precision(precision, device)
    if device.type != "cpu" or dtype != torch.float32:
        return StreamNet(net, TORCH, device, dtype)

    def some_work(contender: Engine) -> Callable[[], object]:
        ready = StreamNet(net, contender, device)
        return partial(ready.open().feed, torch.zeros(net.bands, ready.rows, TRIAL_COLS))

    return StreamNet(net, choose(engine, f"U-Net {net.bands} {net.width} {net.depth}", some_work), device)
