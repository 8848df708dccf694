"""Work that threads do ahead of its use; the results come in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def prefetched(make: Callable[[T], R], items: Iterable[T], *, ahead: int, threads: int) -> Iterator[Iterator[R]]:
    """Yield an iterator over `map(make, items)` whose results threads compute ahead, starting at once.

    An exception of `make` is raised in place of the result of its item. At the end of the context all threads have
    ended.

    ahead: Largest number of items that are submitted and not yet taken.
    threads: Number of threads.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="prefetch")
    try:
        coming = (pool.submit(make, item) for item in items)
        yield _in_order(deque(islice(coming, ahead)), coming)
    finally:
        pool.shutdown(cancel_futures=True)


def _in_order(waiting: deque[Future[R]], coming: Iterator[Future[R]]) -> Iterator[R]:
    while waiting:
        result = waiting.popleft().result()
        waiting.extend(islice(coming, 1))
        yield result
