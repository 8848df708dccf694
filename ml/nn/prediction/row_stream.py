"""A U-Net through which an image flows row by row, from the top down: exact, and no row is computed twice.

Each convolution keeps the last two rows it was given, each pooling an odd row, and each skip connection what the levels
below have not caught up with. So the rows that come out belong to an image without seams, whatever the sizes of the
pieces that went in; they come `late`, after the rows below them that the net must see. At the image's top and bottom
each layer sees the zeros that padding would have put there.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ml.geo.windows import margin
from ml.nn.normalise import choose_precision
from ml.nn.prediction.engines.choice import choose
from ml.nn.prediction.engines.engine import COLS, ROWS, Engine, Rows
from ml.nn.prediction.engines.pytorch import ENGINE as TORCH
from ml.nn.prediction.row_layers import Block, EachPixel, Pairs, Queue, convolutions
from ml.nn.unet import UNet, Up, folded

# Columns on either side that the two convolutions of a level need on the way up, with those of all finer ones, which
# reach half as far, a quarter, ...: fewer than 2 + 1 + 1/2 + ... And so many are a tile of Winograd's.
REACH = 4
WIDE = 4096  # columns of a scene that flows by fewer rows, for the sake of memory
STRIPE_BYTES = 256 << 20  # of what waits for other levels; a wide scene is cut into stripes for which that is enough

Sides = Sequence[int]  # columns on the left and right that are there for the sake of those between


class StreamNet:
    """The weights of a U-Net, made ready for one thread that predicts on one device."""

    def __init__(self, net: UNet, engine: Engine, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        """dtype: that it computes in; logits are float32 all the same."""
        plain = folded(net).to(device, dtype)
        self.bands, self.depth, self.outputs = net.bands, net.depth, net.outputs
        self.device, self.dtype = device, dtype
        self.engine = engine
        down = (plain.stem, *cast(Iterable[nn.Sequential], plain.down))
        up = [*cast(Iterable[Up], plain.up)]
        self.down = [convolutions(block, engine, 1) for block in down]
        self.up = [convolutions(step.conv, engine, 2) for step in up]
        self.enlarge = [EachPixel(step.enlarge, engine) for step in up]
        self.head = EachPixel(plain.head, engine)
        # each level has twice the channels of the one above, half of its rows and half of its columns
        bytes_a_column = 2 * net.width * (self.rows(WIDE) + margin(net.depth)) * dtype.itemsize
        self.stripe_px = max(STRIPE_BYTES // bytes_a_column, 8 * margin(net.depth))

    def made_by(self) -> dict[str, str]:
        """What decides the bits of its logits beside `ml.provenance.software`, by name."""
        gpu = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else None
        return {
            "engine": f"{self.engine.name} {self.engine.version}",
            "precision": str(self.dtype).removeprefix("torch."),
            "device": gpu or self.device.type,
            "threads": str(torch.get_num_threads()),
        }

    def rows(self, cols: int) -> int:
        """How many rows of a scene of `cols` columns flow through best at a time."""
        if self.device.type == "cuda":
            return max(256, 4 << self.depth)
        # 64 rows are 4 at depth 4, one tile of Winograd's; of a narrow scene those are few for such large weights
        return max(64 if cols >= WIDE else 128, 4 << self.depth)

    def open(self, left: int = 0, right: int = 0) -> "Stream":
        """A new image to flow through.

        left, right: so many columns, a multiple of 2^depth, are there for the sake of those between, and get no logits.
        """
        return Stream(self, (left, right))

    def __call__(self, image: Tensor) -> Tensor:
        """Logits, float32 (outputs, rows, cols), of a whole image (bands, rows, cols) on the device of the net."""
        return self.open().feed(image, last=True)


class Stream:
    """One image on its way through a `StreamNet`. sides: see `StreamNet.open`."""

    def __init__(self, net: StreamNet, sides: Sides) -> None:
        self._net = net
        self._sides = [[side >> level for side in sides] for level in range(net.depth + 1)]
        self._down = [Block(block) for block in net.down]
        self._pools = [Pairs() for _ in net.up]
        self._skips = [Queue() for _ in net.up]
        self._up = [Block(block) for block in net.up]

    @torch.inference_mode()
    def feed(self, image: Tensor, *, last: bool = False) -> Tensor:
        """The next rows of logits, float32 (outputs, m, cols - left - right), that `image` makes known; m may be 0.

        image: float32 (bands, n, cols), the rows after those that were fed before; all widths are one multiple of
        2^depth. last: the image ends here, its height being a multiple of 2^depth, and so do the logits.
        """
        top = image[None].to(self._net.dtype, memory_format=torch.channels_last)
        pieces = self._down[0].flow([[[top]]], last)
        levels = zip(self._sides[:-1], self._pools, self._skips, self._down[1:], strict=True)
        for sides, pairs, skips, block in levels:
            pooled: Rows = []
            for piece in pieces:
                skips.put(_inner(piece, sides))
                pooled += pairs.pool(piece)
            pieces = block.flow([[pooled]], last)
        below = self._sides[-1]
        levels_up = zip(self._sides[-2::-1], self._net.enlarge, reversed(self._skips), self._up, strict=True)
        for sides, enlarge, skips, block in levels_up:
            pieces = block.flow(_beside(skips, map(enlarge, pieces), [2 * side for side in below]), last)
            below = [min(side, REACH) for side in sides]
        logits = torch.cat([*map(self._net.head, pieces)], dim=ROWS)
        left, right = below
        return logits[0, ..., left : logits.shape[COLS] - right].float()


def _inner(features: Tensor, sides: Sides) -> Tensor:
    """Without those of its columns at the `sides` that no convolution on the way up will see."""
    left, right = (max(side - REACH, 0) for side in sides)
    return features[..., left : features.shape[COLS] - right]


def _beside(skips: Queue, pieces: Iterable[Tensor], sides: Sides) -> Iterator[Sequence[Rows]]:
    """Each piece, without the outer of its columns, with the rows of the skip connection that belong to it."""
    for piece in pieces:
        inner = _inner(piece, sides)
        yield [skips.take(inner.shape[ROWS], inner), [inner]]


def for_prediction(
    net: UNet, device: torch.device | None = None, *, engine: str = "auto", precision: str = "auto"
) -> StreamNet:
    """`net` made ready to predict fast, by one thread at a time; `net` itself stays as it is.

    device: None takes that of `net`. engine: "auto" or the name of one, see `ml.nn.prediction.engines.choice.choose`;
    beside float32 on a CPU there is torch alone. precision: "float32", "bfloat16" or "auto", the latter on a GPU that
    has it.

    Raises:
        InputRefused: code `no_engine`.
    """
    device = device or next(net.parameters()).device
    dtype = choose_precision(precision, device)
    if device.type != "cpu" or dtype != torch.float32:
        return StreamNet(net, TORCH, device, dtype)
    return StreamNet(net, choose(engine), device)
