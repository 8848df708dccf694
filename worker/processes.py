"""The processes that jobs are done in: one for each, fresh, and quick to start.

They are forked from a process that has imported everything and used nothing: they start in milliseconds, and never
inherit a lock that is held, a thread pool, or a GPU.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess

from app.settings import Settings
from worker import child

_server = get_context("forkserver")
_server.set_forkserver_preload(["worker.child", "ml.nn.train", "ml.nn.predict", "ml.nn.score"])


def prepare() -> None:
    """See that the process lives that the others come from, and has imported everything: that takes seconds."""
    process = _server.Process(target=int)
    process.start()
    process.join()


@contextmanager
def waiting_process(settings: Settings, main: child.Main) -> Iterator[tuple[ForkServerProcess, Connection]]:
    """A process that waits to be sent its claim, then runs `main`; it ends with the block at the latest.

    Raises `OSError` or `EOFError` when the process that it should come from has just died.
    """
    ours, its = _server.Pipe()
    process = _server.Process(target=child.wait_for_claim, args=(main, settings, its))
    with ours:
        with its:
            process.start()
        try:
            yield process, ours
        finally:
            process.kill()
            process.join()
