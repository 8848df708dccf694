"""Processes that predict one stripe of a scene each, in parallel: on a CPU, one process for each core.

Threads that share a convolution wait for each other after it, and exchange tensors that are too large for the cache of
one core. Processes with one thread each avoid both. A process is forked, so it has the net at once and without a copy.
It computes with one thread, because a thread pool does not survive a fork. PyTorch's DataLoader does the same.
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

MIN_MARGINS = 8  # least width of a stripe, in margins: with one on either side, a fifth of the computation is margin


@contextmanager
def share_cores(cols: int, depth: int, device: torch.device) -> Iterator[int]:
    """Yield the number of processes for the prediction of a scene of `cols` columns.

    It is the number of PyTorch's threads if the scene is wide enough for a stripe each, else 1. If there are several
    processes, PyTorch has one thread inside the context. Call `for_prediction` inside the context.
    """
    threads = torch.get_num_threads()
    can_fork = device.type == "cpu" and sys.platform == "linux"
    processes = threads if can_fork and cols >= threads * MIN_MARGINS * margin(depth) else 1
    torch.set_num_threads(1 if processes > 1 else threads)
    try:
        yield processes
    finally:
        torch.set_num_threads(threads)


class StripeProcess:
    """A child process that computes the logits of one image at a time, with the methods of `StreamNet` and `Stream`.

    It ends at the end of the context, or when its parent process ends for any reason.
    """

    def __init__(self, net: StreamNet) -> None:
        """Fork the process.

        net: Net that was made ready for one thread.

        Raises:
            ValueError: PyTorch has several threads.
        """
        if torch.get_num_threads() > 1:
            raise ValueError("a stripe process computes with one thread: make the net ready inside share_cores")
        context = get_context("fork")
        self._calls, child_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(net, child_end, self._calls), daemon=True)
        self._process.start()
        child_end.close()

    def open(self, left: int = 0, right: int = 0) -> Self:
        """Start a new image, which replaces the one before; see `StreamNet.open`."""
        self._calls.send((left, right))
        return self

    def feed(self, image: Tensor, *, last: bool = False) -> Tensor:
        """Compute the next rows of logits in the process; see `Stream.feed`.

        If a signal killed the process, this process is killed by the same signal.

        Raises:
            Exception: the exception that `Stream.feed` raised in the process.
            EOFError, OSError: the process ended without a signal.
        """
        try:
            self._calls.send((image.numpy(), last))
            answer = self._calls.recv()
        except (EOFError, OSError):
            self._die_alike()
            raise
        if isinstance(answer, Exception):
            raise answer
        return torch.from_numpy(answer)

    def _die_alike(self) -> None:
        """Wait for the process to end, and kill this process by the signal that killed it, if any."""
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
    """Answer the calls of `StripeProcess.open` and `StripeProcess.feed` until the other end of the pipe is closed."""
    other_end.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # meant for the parent process, which then ends this one
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
    """Return the output of the stream, or the exception, which the parent process raises."""
    try:
        return stream.feed(image, last=last).numpy()
    except Exception as error:
        return error
