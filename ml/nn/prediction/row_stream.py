"""A U-Net that computes an image as a stream of rows, from the top down: exactly, and no row twice.

Each convolution keeps the last two rows of its input, each pooling a row without a partner, and each skip connection
the rows that the levels below have not reached yet. So the output has no seams, whatever the heights of the pieces of
the input. A row of output comes later than its row of input, because the net needs rows below it. At the top and the
bottom of the image, each layer gets the zeros of its padding.

The mean of several views of the image (four turns, with and without a mirror) is computed by as many nets, whose
kernels are turned instead of the image. So the views flow as rows like a single one, and need the same context.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ml.geo.windows import margin
from ml.nn.precision import FLOAT32, SCORED, Precision, choose_precision, device_name
from ml.nn.prediction.device_input import Copies
from ml.nn.prediction.engines.choice import choose
from ml.nn.prediction.engines.engine import COLS, ROWS, Engine, Rows
from ml.nn.prediction.engines.pytorch import ENGINE as TORCH
from ml.nn.prediction.row_layers import Block, PixelwiseLayer, RowPooling, RowQueue, convolutions
from ml.nn.unet import UNet, Up, folded, turned

# Columns on either side that the convolutions of a level and of all finer levels need on the way up. The two of the
# level need 2 columns; those of finer levels need 1, 1/2, ... columns of this level, so the sum is less than 4. A tile
# of Winograd's algorithm is also 4 columns wide.
REACH = 4
WIDE = 4096  # columns from which a scene is computed by fewer rows at a time, to save memory
STRIPE_BYTES = 256 << 20  # memory for rows that wait for other levels; a wide scene is cut into stripes to stay below
GPU_ROWS = (256, 128, 64)  # to compute at a time on a GPU: the first of them that fit
FREE_SHARE = 0.8  # of the free memory of a GPU that rows may fill: cuDNN needs some, too
FLOAT_BYTES = 4
VIEWS = [(turns, mirrored) for mirrored in (False, True) for turns in range(4)]  # the first is the image as it is

Sides = Sequence[int]  # numbers of columns on the left and right that are context only and get no logits


class StreamNet:
    """A U-Net prepared for prediction by one thread on one device.

    bands, depth, width, outputs: See `UNet`.
    device, precision: Device and precision of the computation.
    engine: Engine that computes the layers.
    copies: The way of pixels to the device.
    free_bytes: Memory that was free on a GPU when the net was made ready, which decides how many rows are computed at
        a time; infinite for other devices.
    stripe_px: Number of columns of a stripe whose waiting rows fit into `STRIPE_BYTES`, at least 8 margins.
    other_views: Nets for the other views of the image, whose logits are averaged with those of this net.
    """

    def __init__(
        self, net: UNet, engine: Engine, device: torch.device, precision: Precision = FLOAT32, views: int = 1
    ) -> None:
        """Copy `net` with BatchNorm folded into the convolutions.

        precision: Precision of the computation; the logits are float32 for every one.
        views: Number of views whose logits are averaged, at most 8.
        """
        plain = folded(net).to(device, precision.dtype)
        self.bands, self.depth, self.width, self.outputs = net.bands, net.depth, net.width, net.outputs
        self.device, self.precision = device, precision
        self.engine, self.copies = engine, Copies(device)
        self.free_bytes = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else math.inf
        down = (plain.stem, *cast(Iterable[nn.Sequential], plain.down))
        up = [*cast(Iterable[Up], plain.up)]
        self.down = [convolutions(block, engine, 1) for block in down]
        self.up = [convolutions(step.conv, engine, 2) for step in up]
        self.enlarge = [PixelwiseLayer(step.enlarge, engine) for step in up]
        self.head = PixelwiseLayer(plain.head, engine)
        # each level has twice the channels, half of the rows and half of the columns of the level above
        usual_rows = self.rows(WIDE) if device.type == "cpu" else max(GPU_ROWS[0], 4 << net.depth)
        bytes_per_column = views * 2 * net.width * (usual_rows + margin(net.depth)) * precision.dtype.itemsize
        self.stripe_px = max(STRIPE_BYTES // bytes_per_column, 8 * margin(net.depth))
        self.other_views = [
            StreamNet(turned(net, turns, mirrored=mirrored), engine, device, precision)
            for turns, mirrored in VIEWS[1:views]
        ]

    def made_by(self) -> dict[str, str]:
        """Return by name what decides the bits of the logits, besides `ml.provenance.software`."""
        return {
            "engine": f"{self.engine.name} {self.engine.version}",
            "precision": self.precision.name,
            "device": device_name(self.device),
            "threads": str(torch.get_num_threads()),
            **({"views": str(1 + len(self.other_views))} if self.other_views else {}),
        }

    def rows(self, cols: int) -> int:
        """Return the best number of rows to compute at a time in a scene of `cols` columns."""
        if self.device.type != "cpu":
            return max(self._most_rows_that_fit(cols), 4 << self.depth)
        # At depth 4, 64 rows become 4, the height of a Winograd tile. In a narrow scene these are too few pixels for
        # each read of the large weights of that level.
        return max(64 if cols >= WIDE else 128, 4 << self.depth)

    def _most_rows_that_fit(self, cols: int) -> int:
        """Return how many rows of `cols` columns the free memory of a GPU holds, among those of `GPU_ROWS`."""
        room = FREE_SHARE * self.free_bytes
        return next((rows for rows in GPU_ROWS if self.most_bytes(rows, cols) < room), GPU_ROWS[-1])

    def most_bytes(self, rows: int, cols: int) -> int:
        """Estimate the memory for a scene of `cols` columns that is computed by `rows` rows at a time, in bytes.

        It counts the rows that wait in each stripe, the features of one stripe at the finest level, and the pieces that
        wait for their logits or for the net.
        """
        views, size = 1 + len(self.other_views), self.precision.dtype.itemsize
        waiting = 2 * self.width * (rows + margin(self.depth)) * cols * views
        features = 8 * self.width * rows * min(cols, self.stripe_px + 2 * margin(self.depth))
        pieces = -(-margin(self.depth) // rows) + 5
        return (waiting + features) * size + pieces * rows * cols * FLOAT_BYTES * (self.bands + self.outputs)

    def open(self, left: int = 0, right: int = 0) -> "Stream":
        """Start the stream of a new image.

        left, right: Numbers of columns at the sides that are context only and get no logits; multiples of 2^depth.
        """
        return Stream(self, (left, right))

    def __call__(self, image: Tensor) -> Tensor:
        """Compute the logits of a whole image at once.

        image: Normalised pixels, float32 (bands, rows, cols), on the device of the net; rows and cols are multiples of
            2^depth.

        Returns:
            Logits, float32 (outputs, rows, cols).
        """
        return self.open().feed(image, last=True)


class Stream:
    """The computation of one image by a `StreamNet`, row by row."""

    def __init__(self, net: StreamNet, sides: Sides) -> None:
        self._net = net
        self._sides = [[side >> level for side in sides] for level in range(net.depth + 1)]
        self._down = [Block(block) for block in net.down]
        self._pools = [RowPooling() for _ in net.up]
        self._skips = [RowQueue() for _ in net.up]
        self._up = [Block(block) for block in net.up]
        self._other_views = [Stream(other, sides) for other in net.other_views]

    @torch.inference_mode()
    def feed(self, image: Tensor, *, last: bool = False) -> Tensor:
        """Compute the rows of logits that become known with the next rows of the image.

        image: Rows after those of the call before, float32 (bands, n, cols); cols is the same in all calls and a
            multiple of 2^depth.
        last: Whether the image ends with these rows; then its height must be a multiple of 2^depth, and all remaining
            logits are returned.

        Returns:
            The next rows of logits, float32 (outputs, m, cols - left - right), averaged over the views; m may be 0.
        """
        logits = self._feed(image, last)
        for other in self._other_views:
            logits = logits + other.feed(image, last=last)
        return logits / (1 + len(self._other_views)) if self._other_views else logits

    def _feed(self, image: Tensor, last: bool) -> Tensor:
        top = image[None].to(self._net.precision.dtype, memory_format=torch.channels_last)
        pieces = self._down[0].flow([[[top]]], last)
        levels = zip(self._sides[:-1], self._pools, self._skips, self._down[1:], strict=True)
        for sides, pooling, skips, block in levels:
            pooled: Rows = []
            for piece in pieces:
                skips.put(_inner(piece, sides))
                pooled += pooling.pool(piece)
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
    """Remove the outer columns at the `sides` that no convolution on the way up needs."""
    left, right = (max(side - REACH, 0) for side in sides)
    return features[..., left : features.shape[COLS] - right]


def _beside(skips: RowQueue, pieces: Iterable[Tensor], sides: Sides) -> Iterator[Sequence[Rows]]:
    """Yield the branches for each piece: the rows of the skip connection, and the piece without outer columns."""
    for piece in pieces:
        inner = _inner(piece, sides)
        yield [skips.take(inner.shape[ROWS], inner), [inner]]


def for_prediction(
    net: UNet, device: torch.device | None = None, *, engine: str = "auto", precision: str = "auto", views: int = 1
) -> StreamNet:
    """Prepare a copy of `net` for fast prediction by one thread at a time; `net` itself does not change.

    device: Device of the prediction; None means the device of `net`.
    engine: Name of an engine or "auto", see `ml.nn.prediction.engines.choice.choose`. On a GPU and in bfloat16 it has
        no effect, because only the engine "torch" supports these.
    precision: "float32", "tf32", "bfloat16" or "auto", see `choose_precision`.
    views: Number of views of each image whose logits are averaged: 1 or 8.

    Raises:
        InputRefused: code `no_engine`: the engine is not installed; code `no_tf32`.
    """
    device = device or next(net.parameters()).device
    chosen = choose_precision(precision, device)
    if device.type != "cpu" or chosen != FLOAT32:
        return StreamNet(net, TORCH, device, chosen, views)
    return StreamNet(net, choose(engine), device, views=views)


def for_scoring(net: UNet, device: torch.device | None = None, *, views: int = 1) -> StreamNet:
    """Prepare a copy of `net` as `for_prediction` does, in the one precision in which nets are scored."""
    return for_prediction(net, device, precision=SCORED.name, views=views)
