"""Measures how long a process is inside the U-Net, whatever code calls it."""

import os
import threading
import time
from multiprocessing import get_context
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from ml.nn.prediction.row_stream import Stream
from ml.nn.unet import UNet

MOST_PROCESSES = 256


class NetClock:
    """Sums the seconds of all calls of a U-Net in all threads, on a CPU, where calls are synchronous.

    canemap's net is a `Stream` in each of several forked processes, which run in parallel: their mean counts.
    """

    def __init__(self) -> None:
        self._called = 0.0
        self._entered = threading.local()
        self._adding = threading.Lock()
        self._fed = get_context("fork").Array("d", MOST_PROCESSES)  # seconds of each process, by its id
        register_module_forward_pre_hook(self._enter)
        register_module_forward_hook(self._leave)
        self._feed = Stream.feed
        Stream.feed = lambda *image, **last: self._timed(*image, **last)  # type: ignore[method-assign]

    @property
    def seconds(self) -> float:
        """Seconds in the net until now."""
        fed = [float(each) for each in self._fed[:] if each]
        return self._called + sum(fed) / max(len(fed), 1)

    def _timed(self, stream: Stream, image: Tensor, *, last: bool = False) -> Tensor:
        start = time.perf_counter()
        logits = self._feed(stream, image, last=last)
        self._fed[os.getpid() % MOST_PROCESSES] += time.perf_counter() - start
        return logits

    def _enter(self, module: nn.Module, _inputs: Any) -> None:
        if isinstance(module, UNet):
            self._entered.at = time.perf_counter()

    def _leave(self, module: nn.Module, _inputs: Any, _output: Any) -> None:
        if isinstance(module, UNet):
            with self._adding:
                self._called += time.perf_counter() - self._entered.at
