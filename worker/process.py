"""The processes that jobs are done in: one for each, fresh, and quick to start.

They are forked from a process that has imported everything and used nothing: they start in milliseconds, and never
inherit a lock that is held, a thread pool, or a GPU.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess

import structlog

from app.core.startup import calm_collection, configure_logs
from app.jobs import lifecycle
from app.services import Services
from app.settings import Settings
from worker.attempt import work
from worker.context import JobContext

Main = Callable[[Settings, lifecycle.Claim, Connection], None]

# what libraries read once, when a process starts; what the operator has set stays
_ENVIRONMENT = {
    # OpenMP threads that spin while they wait slow a net severalfold on a machine that others use, too
    "OMP_WAIT_POLICY": "PASSIVE",
    # glibc: arenas of threads grow by 64 MB, where large pieces that come and go leave holes between what GDAL keeps
    "MALLOC_ARENA_MAX": "1",
}
_server = get_context("forkserver")
_server.set_forkserver_preload([__name__, "ml.nn.training.train", "ml.nn.prediction.predict", "ml.nn.evaluate"])


def prepare() -> None:
    """See that the process lives that the others come from, and has imported everything: that takes seconds."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    process = _server.Process(target=int)
    process.start()
    process.join()


@contextmanager
def waiting_process(settings: Settings, main: Main) -> Iterator[tuple[ForkServerProcess, Connection]]:
    """A process that waits to be sent its claim, then runs `main`; it ends with the block at the latest.

    Raises `OSError` or `EOFError` when the process that it should come from has just died.
    """
    ours, its = _server.Pipe()
    process = _server.Process(target=wait_for_claim, args=(main, settings, its))
    with ours:
        with its:
            process.start()
        try:
            yield process, ours
        finally:
            process.kill()
            process.join()


def wait_for_claim(main: Main, settings: Settings, supervisor: Connection) -> None:
    """Do the job whose claim the keeper sends; end if it has none to give. The keeper alone decides when to stop."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    try:
        claim = supervisor.recv()
    except EOFError:
        return
    main(settings, claim, supervisor)


def main(settings: Settings, claim: lifecycle.Claim, supervisor: Connection) -> None:
    """Do the claimed job and end it, whatever comes of it."""
    configure_logs(settings)
    calm_collection()
    _limit_threads(settings)
    services = Services.open(settings)
    context = JobContext(services.database, claim, supervisor)
    with structlog.contextvars.bound_contextvars(job=claim.job_id, attempt=claim.attempt), context.listening():
        work(services, context)
    services.close()


def _limit_threads(settings: Settings) -> None:
    if settings.torch_threads:
        import torch

        torch.set_num_threads(settings.torch_threads)
