"""Work done ahead by threads, taken in order."""

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
    """`map(make, items)`, made by `threads`, from now on, while the results before are used; at most `ahead` wait.

    An exception of `make` comes at its item's turn. At the end of the context no thread is left.
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
