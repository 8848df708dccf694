"""Processes that predict side by side, a stripe of the scene each: on a CPU, one for each core.

Threads that share each convolution wait for one another after it, and pass windows around that no core's own cache
holds; processes of one thread each do neither. A lane is forked, so that it has the net without a copy and in no time,
and computes with one thread, so that it needs no thread pool that a fork leaves behind: as PyTorch's DataLoader does.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ml.geo.windows import margin
from ml.nn.prediction.row_stream import Stream, StreamNet

SLIMMEST = 8  # margins that a stripe is wide at least: of what a lane computes, a fifth is margin then


@contextmanager
def share_cores(cols: int, depth: int, device: torch.device) -> Iterator[int]:
    """How many lanes to predict a scene of `cols` columns in; if several, PyTorch has one thread meanwhile.

    Several are as many as PyTorch had threads. A net has to be made ready inside.
    """
    threads = torch.get_num_threads()
    forks_well = device.type == "cpu" and sys.platform == "linux"
    lanes = threads if forks_well and cols >= threads * SLIMMEST * margin(depth) else 1
    torch.set_num_threads(1 if lanes > 1 else threads)
    try:
        yield lanes
    finally:
        torch.set_num_threads(threads)


class StripeProcess:
    """A process of its own through which one image at a time flows; to be used like a `StreamNet` and its `Stream`.

    It ends with the block, or with the process that made it, whatever becomes of that.
    """

    def __init__(self, net: StreamNet) -> None:
        """net: made ready for one thread."""
        if torch.get_num_threads() > 1:
            raise ValueError("a lane computes with one thread: get the net ready for that, see share_cores")
        context = get_context("fork")
        self._calls, its = context.Pipe()
        self._process = context.Process(target=_serve, args=(net, its, self._calls), daemon=True)
        self._process.start()
        its.close()

    def open(self, left: int = 0, right: int = 0) -> Self:
        """A new image to flow through, in the place of the one before; see `StreamNet.open`."""
        self._calls.send((left, right))
        return self

    def feed(self, image: Tensor, *, last: bool = False) -> Tensor:
        """As `Stream.feed` of `row_stream`. If the process was killed, this one dies by the same signal."""
        try:
            self._calls.send((image.numpy(), last))
            answer = self._calls.recv()
        except (EOFError, OSError):
            self._follow()
            raise
        if isinstance(answer, Exception):
            raise answer
        return torch.from_numpy(answer)

    def _follow(self) -> None:
        self._process.join()
        code = self._process.exitcode
        if code and code < 0:
            os.kill(os.getpid(), -code)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._calls.close()
        self._process.join()


def _serve(net: StreamNet, calls: Connection, other_end: Connection) -> None:
    """Feed what comes to one stream after the other, until nobody is there to send any more."""
    other_end.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # meant for the process that made this one, which ends this one
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    stream = net.open()
    with suppress(EOFError, OSError):
        while True:
            match calls.recv():
                case int(left), right:
                    stream = net.open(left, right)
                case image, last:
                    calls.send(_fed(stream, torch.from_numpy(image), last))


def _fed(stream: Stream, image: Tensor, last: bool) -> NDArray[np.float32] | Exception:
    """What comes out of the stream, or what went wrong: it is for the other process to say so."""
    try:
        return stream.feed(image, last=last).numpy()
    except Exception as error:
        return error
