"""Exact prediction of a scene of any size: the one core that validation and prediction share.

The scene flows through the net in pieces of some rows, so vertically nothing is computed twice; to keep memory flat it
does so in stripes, read with a margin of the net's reach on both sides. Both lie on the net's 2^depth grid, anchored at
the scene's origin, and normalisation uses stored numbers: the result equals that of the whole scene in one piece,
padded with zeros on the right and below up to the grid, up to float rounding. There is no seam.
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
from torch.nn import functional

from ml.contract import Contract
from ml.geo.windows import Window, ceil_to, margin
from ml.nn.normalise import normalise
from ml.nn.prediction.prefetch import prefetched
from ml.nn.prediction.row_stream import Stream, StreamNet
from ml.nn.prediction.stripe_processes import StripeProcess
from ml.scenes.source import Source

T = TypeVar("T")
Valid = NDArray[np.bool_]
# An edge changes what one convolution says of the next row. Winograd's algorithm computes tiles of 4 rows, of which
# all get other roundings: it takes so many margins until a run that started further down agrees to the bit.
ROUNDING_REACH = 8


@dataclass(frozen=True)
class Piece:
    """Some rows of a scene over its whole width. window: of the scene. valid: bool (rows, cols)."""

    window: Window
    valid: Valid


@dataclass(frozen=True)
class InputPiece(Piece):
    """A piece as the net sees it. image: normalised float32 (bands, rows, cols), padded up to the net's grid.

    last: the scene ends with it.
    """

    image: Tensor
    last: bool


@dataclass(frozen=True)
class PredictedPiece(Piece):
    """A piece that the net has seen. logits: float32 (outputs, rows, cols) on the net's device, any where not valid."""

    logits: Tensor


@dataclass(frozen=True)
class _Step:
    """A piece to be fed. waiting: what is not done before it, itself at the end. done: what it completes."""

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
    lanes: int = 1,
) -> Generator[PredictedPiece, None, None]:
    """Every pixel of `source` from `first_row` on, once, by pieces from the top down.

    first_row: a multiple of `net.rows(source.cols)`; what follows is the same as in a whole run: to the bit if
        the same engine computes both, on the same kind of processor with as many threads.
    end_row: the piece that reaches it is the last; None goes on to the end of the scene.
    stripe_px: width of the stripes, no influence on the result; None chooses it by the memory that it takes.
    lanes: processes that the stripes are spread over, see `ml.nn.prediction.stripe_processes`; 1 is this process.
    The next pieces are read and decoded by a thread while the net works. Nothing is computed where no pixel is valid.
    """
    rows = net.rows(source.cols)
    behind = -(-margin(net.depth) // rows)  # pieces that must follow one before its logits are known
    start = max(0, first_row - ceil_to(ROUNDING_REACH * margin(net.depth), rows))
    windows = [Window(row, 0, rows, source.cols) for row in range(start, source.rows, rows)]
    cores = list(_cores(net, source.cols, stripe_px, lanes))
    with ExitStack() as stack:
        streams = [stack.enter_context(StripeProcess(net)) if lanes > 1 else net for _ in cores]
        stripes = [_Stripe(stream, net, core, source.cols, behind) for stream, core in zip(streams, cores, strict=True)]
        crews = [[stripe] for stripe in stripes] if lanes > 1 else [stripes]
        given = stack.enter_context(prefetched(partial(give, net, contract, source), windows, ahead=2, threads=1))
        flows = [
            stack.enter_context(prefetched(partial(_feed, crew), steps, ahead=2, threads=1))
            for crew, steps in zip(crews, _copies(_steps(given, net, behind), len(crews)), strict=True)
        ]
        for step, *_ in zip(*flows, strict=True):
            for done in step.done:
                if done.window.row >= first_row:
                    yield done
                if end_row and done.window.row + done.window.rows >= end_row:
                    return


def _cores(net: StreamNet, cols: int, stripe_px: int | None, lanes: int) -> Iterator[tuple[int, int]]:
    """First and last + 1 column of each stripe, about equally wide, equally many for each lane."""
    step = 2**net.depth
    count = ceil_to(-(-cols // (stripe_px or net.stripe_px)), lanes)
    width = ceil_to(-(-cols // count), step)
    yield from ((left, min(left + width, cols)) for left in range(0, cols, width))


def give(net: StreamNet, contract: Contract, source: Source, window: Window) -> InputPiece:
    """Read and normalise what lies in the window; its lower part may lie below the scene."""
    step = 2**net.depth
    inside = window.clip(source.rows, source.cols)
    image, valid = source.read(inside)
    normal = normalise(torch.from_numpy(image)[None], torch.from_numpy(valid)[None], contract.statistics)[0]
    beyond = (0, -inside.cols % step, 0, -inside.rows % step)
    padded = functional.pad(normal, beyond) if any(beyond) else normal  # by nothing, it would still copy
    if net.device.type == "cuda":
        padded = padded.pin_memory()
    return InputPiece(inside, valid, padded, last=window.row + window.rows >= source.rows)


def _steps(given: Iterable[InputPiece], net: StreamNet, behind: int) -> Iterator[_Step]:
    waiting: deque[PredictedPiece] = deque(maxlen=behind + 1)
    for piece in given:
        logits = torch.zeros(net.outputs, *piece.valid.shape, device=net.device)
        waiting.append(PredictedPiece(piece.window, piece.valid, logits))
        known = len(waiting) if piece.last else len(waiting) - behind
        yield _Step(piece, tuple(waiting), tuple(waiting)[: max(known, 0)])


def _copies(items: Iterable[T], count: int) -> list[Iterator[T]]:
    """Iterators over the same items; one is kept until all have passed it.

    `itertools.tee` keeps up to 57 for longer, which of pieces is a gigabyte in a scene of 16,384 columns.
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


def _feed(stripes: Iterable["_Stripe"], step: _Step) -> _Step:
    """Let the step's piece flow on through `stripes`."""
    for stripe in stripes:
        stripe.feed(step.piece, step.waiting)
    return step


class _Stripe:
    """Some columns of a scene on their way through the net. core: the first and the last + 1 that are kept."""

    def __init__(
        self, streams: StreamNet | StripeProcess, net: StreamNet, core: tuple[int, int], cols: int, behind: int
    ) -> None:
        reach = margin(net.depth)
        self._streams, self._device = streams, net.device
        self._core = slice(*core)
        grid_end = ceil_to(core[1], 2**net.depth)
        self._read = slice(max(0, core[0] - reach), min(grid_end + reach, ceil_to(cols, 2**net.depth)))
        self._sides = core[0] - self._read.start, self._read.stop - grid_end
        self._stream: Stream | StripeProcess | None = None
        self._row = 0  # of the scene, the next that comes out
        self._recent: deque[InputPiece] = deque(maxlen=behind + 1)
        self._needed: deque[bool] = deque(maxlen=behind + 1)

    def feed(self, piece: InputPiece, waiting: Sequence[PredictedPiece]) -> None:
        """Let `piece` flow on, and write what comes out into those `waiting` that it belongs to."""
        self._needed.append(bool(piece.valid[:, self._core].any()))
        if self._stream is None and self._needed[-1]:
            # from so far above that neither the missing rows nor where the stream starts show in what is needed
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
        image = piece.image[:, :, self._read].to(self._device, non_blocking=True)
        logits = stream.feed(image, last=piece.last)
        for place in waiting:
            first = max(self._row, place.window.row)
            end = min(self._row + logits.shape[1], place.window.row + place.window.rows)
            if first < end:
                rows = logits[:, first - self._row : end - self._row, : self._core.stop - self._core.start]
                place.logits[:, first - place.window.row : end - place.window.row, self._core] = rows
        self._row += logits.shape[1]
