"""Progress inside a stage of many windows: it is seen to grow, and the work may be stopped between two windows."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import TypeVar

from ml.geo.windows import Window
from ml.progress import Progress, Tick, Watch

_TICK_S = 0.5
_LEAST_S, _LEAST_PX_A_SECOND = 60, 1_000_000  # a step of GDAL may take this long and this much
T = TypeVar("T")
Through = Callable[[Iterable[Window]], Iterable[Window]]


def unwatched(windows: Iterable[Window]) -> Iterable[Window]:
    """A `Through` that reports nothing."""
    return windows


class WatchedRows:
    """Reports the rows that are done in a stage with several passes over scenes. total: rows of all passes together."""

    def __init__(self, watch: Watch, stage: str, total: int) -> None:
        self._watch, self._stage, self._total, self._done = watch, stage, total, 0

    def of(self, name: str) -> Through:
        """A function for the windows of one pass over the scene `name`: it reports before each of them."""

        def through(windows: Iterable[Window]) -> Iterator[Window]:
            end = 0
            for window in windows:
                self._report(self._done + window.row, name)
                yield window
                end = window.row + window.rows
            self._done += end

        return through

    def end(self) -> None:
        """Report that the stage is done."""
        self._report(self._total, "")

    def _report(self, done: int, name: str) -> None:
        self._watch(Progress(self._stage, done, self._total, name, file=f"scene {name!r}" if name else ""))


def ticking(do: Callable[[], T], tick: Tick, pixels: int) -> T:
    """Do a long step of GDAL, which can neither report nor be stopped, in a thread, and call `tick` meanwhile.

    `tick` is called for as long as a step over this number of pixels may take. A step that takes longer is no longer
    reported, so it counts as hung. When `tick` raises, the step goes on in its thread: the process should end soon.
    """
    result = Future[T]()

    def run() -> None:
        try:
            result.set_result(do())
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=run, name="gdal", daemon=True).start()
    for _ in range(int((_LEAST_S + pixels / _LEAST_PX_A_SECOND) / _TICK_S)):
        tick()
        try:
            return result.result(timeout=_TICK_S)
        except TimeoutError:
            if result.done():  # it is the step that has raised it
                raise
    return result.result()
