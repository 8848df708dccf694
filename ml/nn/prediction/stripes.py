"""Exact prediction of a scene of any size, for validation and for prediction alike.

The scene passes through the net in pieces of some rows, so no row is computed twice. To bound memory, it is divided
into stripes of columns, which are read with a margin as wide as the net's reach on both sides. Pieces and stripes lie
on the net's 2^depth grid from the origin of the scene, and normalisation uses stored statistics. So the result has no
seams: it equals that of the whole scene in one piece, padded with zeros on the right and below up to the grid, up to
the rounding of floats.
"""

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ml.contract import Contract
from ml.geo.windows import Window, ceil_to, margin
from ml.nn.precision import repeatable
from ml.nn.prediction.device_input import Copies
from ml.nn.prediction.prefetch import prefetched
from ml.nn.prediction.row_stream import Stream, StreamNet
from ml.nn.prediction.stripe_processes import StripeProcess
from ml.scenes.source import Source

T = TypeVar("T")
Valid = NDArray[np.bool_]
# How many margins above its first row a prediction must begin so that its logits are the same to the bit as those of
# the whole scene. With each convolution the upper edge of the stream changes one more row, and Winograd's algorithm
# then rounds all 4 rows of a tile in another way.
ROUNDING_REACH = 8


@dataclass(frozen=True)
class Piece:
    """Some rows of a scene over its whole width.

    window: Position of the rows in the scene, in pixels.
    valid: Whether each pixel has data, bool (rows, cols).
    """

    window: Window
    valid: Valid


@dataclass(frozen=True)
class InputPiece(Piece):
    """A piece as the input of the net.

    image: Normalised pixels, float32 (bands, rows, cols), padded with zeros up to the net's grid, on the net's device.
    last: Whether the scene ends with this piece.
    """

    image: Tensor
    last: bool


@dataclass(frozen=True)
class PredictedPiece(Piece):
    """A piece with the output of the net.

    logits: Float32 (outputs, rows, cols), on the net's device; meaningless where a pixel is not valid.
    """

    logits: Tensor


@dataclass(frozen=True)
class _Step:
    """A step of the prediction, in which the net computes one piece.

    piece: Input of the net.
    waiting: Pieces whose logits are incomplete before this step; the last one is that of `piece`.
    done: Pieces whose logits are complete after this step.
    """

    piece: InputPiece
    waiting: Sequence[PredictedPiece]
    done: Sequence[PredictedPiece]


def predict_logits(
    net: StreamNet,
    contract: Contract,
    source: Source,
    *,
    first_row: int = 0,
    end_row: int | None = None,
    stripe_px: int | None = None,
    processes: int = 1,
) -> Generator[PredictedPiece, None, None]:
    """Predict every pixel of `source` from `first_row` on, once, and yield pieces from the top down.

    A thread reads and decodes the next pieces while the net computes. Nothing is computed where no pixel is valid.

    first_row: A multiple of `net.rows(source.cols)`. The logits are those of a prediction of the whole scene: to the
        bit if the same engine computes both, on the same kind of processor and with the same number of threads.
    end_row: The piece that reaches this row is the last; None means the end of the scene.
    stripe_px: Width of the stripes in pixels, without influence on the result; None means `net.stripe_px`.
    processes: 1 means that this process computes all stripes. With more, each stripe is computed by a child process,
        and the number of stripes is rounded up to a multiple; see `ml.nn.prediction.stripe_processes`.
    """
    rows = net.rows(source.cols)
    delay = -(-margin(net.depth) // rows)  # number of pieces that must follow a piece before its logits are complete
    start = max(0, first_row - ceil_to(ROUNDING_REACH * margin(net.depth), rows))
    windows = [Window(row, 0, rows, source.cols) for row in range(start, source.rows, rows)]
    cores = list(_cores(net, source.cols, stripe_px, processes))
    with ExitStack() as stack:
        stack.enter_context(repeatable(net.precision))
        streams = [stack.enter_context(StripeProcess(net)) if processes > 1 else net for _ in cores]
        stripes = [_Stripe(stream, net, core, source.cols, delay) for stream, core in zip(streams, cores, strict=True)]
        groups = [[stripe] for stripe in stripes] if processes > 1 else [stripes]
        read = partial(read_piece, net, contract, source)
        inputs = stack.enter_context(prefetched(read, windows, ahead=2, threads=1))
        flows = [
            stack.enter_context(prefetched(partial(_feed, net.copies, group), steps, ahead=2, threads=1))
            for group, steps in zip(groups, _copies(_steps(inputs, net, delay), len(groups)), strict=True)
        ]
        for step, *_ in zip(*flows, strict=True):
            for done in step.done:
                if done.window.row >= first_row:
                    yield done
                if end_row and done.window.row + done.window.rows >= end_row:
                    return


def _cores(net: StreamNet, cols: int, stripe_px: int | None, processes: int) -> Iterator[tuple[int, int]]:
    """Divide the columns into stripes of about equal width, and yield the first column and the end of each.

    Their number is a multiple of `processes`, or less where rounding their width to the net's grid leaves fewer.
    """
    step = 2**net.depth
    count = ceil_to(-(-cols // (stripe_px or net.stripe_px)), processes)
    width = ceil_to(-(-cols // count), step)
    yield from ((left, min(left + width, cols)) for left in range(0, cols, width))


def read_piece(net: StreamNet, contract: Contract, source: Source, window: Window) -> InputPiece:
    """Read and normalise the pixels in `window`, whose lower part may lie below the scene.

    A thread may do this while another one computes; `net.copies.received` then hands over the image.
    """
    inside = window.clip(source.rows, source.cols)
    image, valid = source.read_compact(inside)
    normal = net.copies.normalised(image, valid, contract.statistics, 2**net.depth)
    return InputPiece(inside, valid, normal, last=window.row + window.rows >= source.rows)


def _steps(pieces: Iterable[InputPiece], net: StreamNet, delay: int) -> Iterator[_Step]:
    waiting: deque[PredictedPiece] = deque(maxlen=delay + 1)
    for piece in pieces:
        logits = torch.zeros(net.outputs, *piece.valid.shape, device=net.device)
        waiting.append(PredictedPiece(piece.window, piece.valid, logits))
        known = len(waiting) if piece.last else len(waiting) - delay
        yield _Step(piece, tuple(waiting), tuple(waiting)[: max(known, 0)])


def _copies(items: Iterable[T], count: int) -> list[Iterator[T]]:
    """Make `count` iterators over the same items; an item is kept only until all iterators have yielded it.

    `itertools.tee` keeps up to 57 items longer, which is a gigabyte of pieces in a scene of 16,384 columns.
    """
    source, queues = iter(items), [deque[T]() for _ in range(count)]

    def copy(own: deque[T]) -> Iterator[T]:
        while True:
            if not own:
                try:
                    item = next(source)
                except StopIteration:
                    return
                for queue in queues:
                    queue.append(item)
            yield own.popleft()

    return [copy(own) for own in queues]


def _feed(copies: Copies, stripes: Iterable["_Stripe"], step: _Step) -> _Step:
    """Compute the piece of `step` in each of `stripes`; return the step."""
    copies.received(step.piece.image)
    for stripe in stripes:
        stripe.feed(step.piece, step.waiting)
    return step


class _Stripe:
    """Some columns of a scene, which pass through the net with a margin on both sides."""

    def __init__(
        self, streams: StreamNet | StripeProcess, net: StreamNet, core: tuple[int, int], cols: int, delay: int
    ) -> None:
        """Prepare the stripe.

        streams: Opens the streams that compute the stripe.
        core: First column and end of the columns whose logits are kept.
        cols: Width of the scene, in pixels.
        delay: Number of pieces that must follow a piece before its logits are complete.
        """
        reach = margin(net.depth)
        self._streams = streams
        self._core = slice(*core)
        grid_end = ceil_to(core[1], 2**net.depth)
        self._read = slice(max(0, core[0] - reach), min(grid_end + reach, ceil_to(cols, 2**net.depth)))
        self._sides = core[0] - self._read.start, self._read.stop - grid_end
        self._stream: Stream | StripeProcess | None = None
        self._row = 0  # row of the scene to which the next row of output belongs
        self._recent: deque[InputPiece] = deque(maxlen=delay + 1)
        self._needed: deque[bool] = deque(maxlen=delay + 1)

    def feed(self, piece: InputPiece, waiting: Sequence[PredictedPiece]) -> None:
        """Compute `piece`, and write the logits that become known into the pieces `waiting` to which they belong."""
        self._needed.append(bool(piece.valid[:, self._core].any()))
        if self._stream is None and self._needed[-1]:
            # starts so far above that neither missing rows nor the upper edge of the stream change the needed logits
            self._stream = self._streams.open(*self._sides)
            self._row = (self._recent or [piece])[0].window.row
            for earlier in self._recent:
                self._flow(self._stream, earlier, ())
        if self._stream is not None:
            self._flow(self._stream, piece, waiting)
            if not any(self._needed):
                self._stream = None
        self._recent.append(piece)

    def _flow(self, stream: Stream | StripeProcess, piece: InputPiece, waiting: Sequence[PredictedPiece]) -> None:
        logits = stream.feed(piece.image[:, :, self._read], last=piece.last)
        for target in waiting:
            first = max(self._row, target.window.row)
            end = min(self._row + logits.shape[1], target.window.row + target.window.rows)
            if first < end:
                rows = logits[:, first - self._row : end - self._row, : self._core.stop - self._core.start]
                target.logits[:, first - target.window.row : end - target.window.row, self._core] = rows
        self._row += logits.shape[1]
