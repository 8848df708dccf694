"""Work of the host that a training does not wait for: it draws the chips of the next epoch, and saves the last one."""

import contextvars
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Newest:
    """Does pieces of work in a thread, one at a time; of those that wait, only the newest is done.

    An exception of a piece is raised by the next call. At the end of the context the work is done.
    """

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._lock = Lock()
        self._waiting: Callable[[], None] | None = None
        self._running: list[Future[None]] = []

    def submit(self, work: Callable[[], None]) -> None:
        """Let the thread do `work`, in place of a piece that still waits. This returns at once."""
        self._raise()
        with self._lock:
            self._waiting = work
        context = contextvars.copy_context()  # a thread has none of its starter's, the tenant of a job for instance
        self._running.append(self._pool.submit(context.run, self._take))

    def finish(self) -> None:
        """Wait until all work is done."""
        for future in self._running:
            future.exception()  # waits
        self._raise()

    def _take(self) -> None:
        with self._lock:
            work, self._waiting = self._waiting, None
        if work is not None:  # else a newer piece was done in its place
            work()

    def _raise(self) -> None:
        done = [future for future in self._running if future.done()]
        self._running = [future for future in self._running if not future.done()]
        for future in done:
            future.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self._pool.shutdown()
        if kind is None:  # an exception of the training counts more than one of this work
            self._raise()


class Ahead(Generic[T]):
    """Makes the item with the next number in a thread, while the item before is in use."""

    def __init__(self, make: Callable[[int], T]) -> None:
        self._make, self._pool = make, ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self._coming: dict[int, Future[T]] = {}

    def take(self, number: int, following: int | None) -> T:
        """Return the item with this number, and begin with the one that follows, if any."""
        coming = self._coming.pop(number, None) or self._pool.submit(self._make, number)
        self._coming = {} if following is None else {following: self._pool.submit(self._make, following)}
        return coming.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
