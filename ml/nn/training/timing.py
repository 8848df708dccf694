"""Where the time of a training goes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stages:
    """Seconds by stage since the last `line`.

    They are the host's: a GPU is not waited for, so its work shows where the host next needs a result.
    """

    def __init__(self) -> None:
        self._start()

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the time of the block to the stage `name`; stages must not be nested."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - started

    def line(self) -> str:
        """The share of each stage in the time that has passed, in the order they came; begins anew."""
        total = time.perf_counter() - self._started
        shares = self._seconds | {"other": total - sum(self._seconds.values())}
        text = ", ".join(f"{name} {seconds / total:.1%}" for name, seconds in shares.items())
        self._start()
        return f"time {total:.3g} s: {text}"

    def _start(self) -> None:
        self._started = time.perf_counter()
        self._seconds: dict[str, float] = {}
