"""A U-Net through which an image flows row by row, from the top down: exact, and no row is computed twice.

Each convolution keeps the last two rows it was given, each pooling an odd row, and each skip connection what the levels
below have not caught up with. So the rows that come out belong to an image without seams, whatever the sizes of the
pieces that went in; they come `late`, after the rows below them that the net must see. At the image's top and bottom
each layer sees the zeros that padding would have put there.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ml.geo.windows import margin
from ml.nn.engines.choice import choose
from ml.nn.engines.engine import Engine
from ml.nn.engines.pytorch import ENGINE as TORCH
from ml.nn.inputs import choose_precision
from ml.nn.unet import UNet, Up, folded

ROWS, COLS = 2, 3  # axes
WINDOWS_BYTES = 256 << 20  # of all convolutions together; a wide scene is cut into stripes for which that is enough


class StreamNet:
    """The weights of a U-Net, made ready for one thread that predicts on one device.

    rows: of the pieces that flow through it best.
    """

    def __init__(
        self, net: UNet, engines: Sequence[Engine], device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        """engines: of each level, from the finest. dtype: that it computes in; logits are float32 all the same."""
        plain = folded(net).to(device, dtype)
        self.bands, self.depth, self.outputs = net.bands, net.depth, net.outputs
        self.device, self.dtype = device, dtype
        self.engines = tuple(engine.name for engine in engines)
        # 64 rows are 4 at depth 4, one tile of Winograd's; a GPU wants larger pieces
        self.rows = max(256 if self.device.type == "cuda" else 64, 4 << net.depth)
        down = (plain.stem, *cast(Iterable[nn.Sequential], plain.down))
        self.down = [_convolutions(block, engine) for block, engine in zip(down, engines, strict=True)]
        up = zip(cast(Iterable[Up], plain.up), reversed(engines[:-1]), strict=True)
        self.up = [(step.enlarge, _convolutions(step.conv, engine)) for step, engine in up]
        self.head = plain.head
        self.stripe_px = max(WINDOWS_BYTES // self._bytes_a_column(), 8 * margin(net.depth))

    def _bytes_a_column(self) -> int:
        """What the windows of all convolutions take for one column of an image."""
        down, up = enumerate(self.down), enumerate(block for _, block in reversed(self.up))
        channels: float = sum(layer.inputs / 4**level for level, block in (*down, *up) for layer in block)
        return int(channels * self.rows * self.dtype.itemsize)

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
        self._down = [[_Context(layer) for layer in block] for block in net.down]
        self._up = [[_Context(layer) for layer in block] for _, block in net.up]
        self._pools = [_Pairs() for _ in net.up]
        self._skips = [_Queue() for _ in net.up]

    @torch.inference_mode()
    def feed(self, image: Tensor, *, last: bool = False) -> Tensor:
        """The next rows of logits, float32 (outputs, m, cols), that `image` makes known; m may be 0.

        image: float32 (bands, n, cols), the rows after those that were fed before; all widths are one multiple of
        2^depth. last: the image ends here, its height being a multiple of 2^depth, and so do the logits.
        """
        features = image[None].to(self._net.dtype)
        for level, block in enumerate(self._down):
            if level:
                self._skips[level - 1].put(features)
                features = self._pools[level - 1].pool(features)
            features = _through(block, [features], last)
        for skips, (enlarge, _), block in zip(reversed(self._skips), self._net.up, self._up, strict=True):
            features = _enlarge(enlarge, features, block[0].memory_format)
            features = _through(block, [skips.take(features), features], last)
        return _each_pixel(self._net.head, features)[0].float()


class _Layer:
    """A prepared convolution, and the window it is given its input in, which is used again each time."""

    def __init__(self, layer: nn.Conv2d, engine: Engine) -> None:
        self.convolve = engine.prepare(layer)
        self.inputs, self.outputs, self.memory_format = layer.in_channels, layer.out_channels, engine.memory_format
        self._like, self._window = layer.weight, layer.weight.new_empty(0)

    def window(self, rows: int, cols: int) -> Tensor:
        """Memory for an input of (1, inputs, rows, cols), with anything in it but for zeros on the left and right."""
        shape = (1, self.inputs, rows, cols)
        if self._window.shape != shape:
            like = self._like
            self._window = torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=self.memory_format)
            self._window[..., 0] = self._window[..., -1] = 0
        return self._window


class _Context:
    """A convolution with what it remembers: the last two rows of its input, at first the one of zeros above."""

    def __init__(self, layer: _Layer) -> None:
        self._layer, self.memory_format = layer, layer.memory_format
        self._above: Tensor | None = None

    def convolve(self, parts: Sequence[Tensor], last: bool) -> Tensor:
        """Of `parts`, one after the other by channels, each (1, channels, n, cols); last: zeros follow below."""
        rows, cols = parts[0].shape[ROWS:]
        above = 1 if self._above is None else self._above.shape[ROWS]
        window = self._layer.window(above + rows + last, cols + 2)
        window[:, :, :above] = 0 if self._above is None else self._above
        window[:, :, above + rows :] = 0
        channel = 0
        for part in parts:
            window[:, channel : channel + part.shape[1], above : above + rows, 1:-1] = part
            channel += part.shape[1]
        self._above = window[:, :, -2:].clone()
        if window.shape[ROWS] < 3:
            return window.new_empty(1, self._layer.outputs, 0, cols)
        return self._layer.convolve(window)


class _Pairs:
    """Max pooling by 2 with what it remembers: a row without its pair."""

    def __init__(self) -> None:
        self._odd: Tensor | None = None

    def pool(self, features: Tensor) -> Tensor:
        if self._odd is not None:
            features = torch.cat([self._odd, features], dim=ROWS)
        even = features.shape[ROWS] // 2 * 2
        self._odd = features[:, :, even:].clone() if even < features.shape[ROWS] else None
        if not even:
            return features[:, :, :0, ::2]
        return functional.max_pool2d(features[:, :, :even], 2)


class _Queue:
    """Rows that wait for the levels below."""

    def __init__(self) -> None:
        self._pieces: deque[Tensor] = deque()

    def put(self, features: Tensor) -> None:
        if features.shape[ROWS]:
            self._pieces.append(features)

    def take(self, like: Tensor) -> Tensor:
        """As many rows as `like` has, the oldest."""
        rows, pieces = like.shape[ROWS], list[Tensor]()
        while rows:
            piece = self._pieces.popleft()
            pieces.append(piece[:, :, :rows])
            if rows < piece.shape[ROWS]:
                self._pieces.appendleft(piece[:, :, rows:])
            rows -= pieces[-1].shape[ROWS]
        if not pieces:
            return like
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=ROWS)


def _through(block: Sequence[_Context], parts: Sequence[Tensor], last: bool) -> Tensor:
    for layer in block:
        parts = [layer.convolve(parts, last)]
    return parts[0]


def _enlarge(layer: nn.ConvTranspose2d, features: Tensor, memory_format: torch.memory_format) -> Tensor:
    if not features.shape[ROWS]:
        return features.new_empty(1, layer.out_channels, 0, 2 * features.shape[COLS])
    enlarged: Tensor = layer(features.contiguous(memory_format=memory_format))
    return enlarged


def _each_pixel(layer: nn.Conv2d, features: Tensor) -> Tensor:
    """A 1x1 convolution, also of no row at all."""
    logits: Tensor = layer(features) if features.shape[ROWS] else features[:, : layer.out_channels]
    return logits


def _convolutions(block: nn.Sequential, engine: Engine) -> list[_Layer]:
    return [_Layer(layer, engine) for layer in block if isinstance(layer, nn.Conv2d)]


def for_prediction(
    net: UNet, device: torch.device | None = None, *, engine: str = "auto", precision: str = "auto"
) -> StreamNet:
    """`net` made ready to predict fast, by one thread at a time; `net` itself stays as it is.

    device: None takes that of `net`. engine: "auto", "torch" or "ncnn", see `ml.nn.engines.choice.choose`; beside
    float32 on a CPU there is torch alone. precision: "float32", "bfloat16" or "auto", the latter on a GPU that has it.

    Raises:
        InputRefused: code `no_engine`.
    """
    device = device or next(net.parameters()).device
    dtype = choose_precision(precision, device)
    fast = device.type == "cpu" and dtype == torch.float32
    engines = choose(net.width, net.depth, engine) if fast else [TORCH] * (net.depth + 1)
    return StreamNet(net, engines, device, dtype)
