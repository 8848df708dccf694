"""The processes that do jobs: a new one for each job.

They are forked from a server process that has imported everything and used nothing. So they start in milliseconds, and
never inherit a lock that is held, a thread pool, or a GPU.
"""

import os
import signal
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any

import structlog

from app.core import tenancy, tracing
from app.core.db import OF_A_WORKER
from app.core.startup import calm_collection, configure_logs
from app.jobs import claims
from app.jobs.kinds import QUEUES
from app.services import Services
from app.settings import Settings
from ml.native import library
from worker import crash_report, scratch
from worker.attempt import work
from worker.context import JobContext
from worker.walls import confine

Main = Callable[[Settings, claims.Claim, Connection], None]

# environment variables that libraries read once, when a process starts; those that the operator has set stay
_ENVIRONMENT = {
    # OpenMP threads that spin while they wait make a net several times slower when other processes use the CPU, too
    "OMP_WAIT_POLICY": "PASSIVE",
    # each thread's arena of glibc grows by 64 MB; large blocks that are freed leave holes between those that GDAL keeps
    "MALLOC_ARENA_MAX": "1",
    # products of matrices on a GPU have the same bits each time only with a workspace of a fixed size
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
}
_server = get_context("forkserver")
_IMPORTED = ("app.core.calm_start", __name__, "ml.nn.training.together", "ml.nn.prediction.predict", "ml.nn.evaluate")
_IMPORTED_FOR_TRAININGS = ("ml.nn.training.pictures",)
_IMPORTED_FOR_SERVERS = {"postgresql": "psycopg", "s3": "app.storage.s3"}  # by the beginning of the server's URL


def import_for(queues: Collection[str], settings: Settings | None = None) -> None:
    """Choose what the server process, when it is started, imports: what the jobs of `queues` need.

    settings: Of the service; what they name is imported as well, else by the process of each job.
    """
    urls = (settings.database, settings.store) if settings else ()
    clients = [name for start, name in _IMPORTED_FOR_SERVERS.items() if any(url.startswith(start) for url in urls)]
    trainings = _IMPORTED_FOR_TRAININGS if "training" in queues else ()
    _server.set_forkserver_preload([*_IMPORTED, *trainings, *clients])


import_for(QUEUES)


def prepare() -> None:
    """Start the server process that jobs' processes are forked from, and wait for its imports, which take seconds.

    Its first child compiles the convolutions, if that is necessary, into a folder that jobs can only read.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    process = _server.Process(target=_compile)
    process.start()
    process.join()


def _compile() -> None:
    library.find()


def answer_of(ask: Callable[[Connection], None], timeout_s: float) -> Any:
    """What `ask` sends from a fresh process; None if it has sent nothing within `timeout_s` seconds."""
    connection, its_connection = _server.Pipe()
    process = _server.Process(target=ask, args=(its_connection,))
    with connection:
        with its_connection:
            process.start()
        try:
            return connection.recv() if connection.poll(timeout_s) else None
        except EOFError:  # the process has died
            return None
        finally:
            killed(process)


UNKILLABLE_S = 5.0  # after this time since SIGKILL a process is stuck in the kernel, in a driver for instance


def killed(process: ForkServerProcess) -> bool:
    """Kill a process and wait for its end. Returns whether it has ended: one that is stuck in the kernel does not."""
    process.kill()
    process.join(UNKILLABLE_S)
    return process.exitcode is not None


@contextmanager
def waiting_process(settings: Settings, main: Main) -> Iterator[tuple[ForkServerProcess, Connection]]:
    """A new process, and the connection to it. It waits for a claim, then runs `main`; it is killed after the block.

    Raises `OSError` or `EOFError` when the server process has just died.
    """
    connection, its_connection = _server.Pipe()
    process = _server.Process(target=wait_for_claim, args=(main, settings, its_connection))
    with connection:
        with its_connection:
            process.start()
        try:
            yield process, connection
        finally:
            killed(process)


def wait_for_claim(main: Main, settings: Settings, supervisor: Connection) -> None:
    """Receive a claim from the supervisor and run `main`; end without one when the supervisor closes the connection.

    Signals are ignored, because only the supervisor decides when this process stops.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    try:
        claim = supervisor.recv()
    except EOFError:
        return
    main(settings, claim, supervisor)


def main(settings: Settings, claim: claims.Claim, supervisor: Connection) -> None:
    """Do a claimed job in this process, in the scope of its tenant, and end it or give it back."""
    configure_logs(settings)
    with tenancy.acting_for(claim.tenant), tracing.continued(claim.traceparent):
        _do(settings, claim, supervisor)


def _do(settings: Settings, claim: claims.Claim, supervisor: Connection) -> None:
    folder = scratch.folder_of(settings.data_dir / "scratch", claim.job_id)
    confine(settings, folder, meets=claim.kind == "training" and settings.processes_of_a_training > 1)
    crash_report.begin(crash_report.path_in(folder, claim.attempt))
    calm_collection()
    _limit_threads(settings)
    services = Services.open(settings, OF_A_WORKER)
    context = JobContext(services.database, claim, supervisor)
    about = {"job": tenancy.whole(claim.job_id), "attempt": claim.attempt}
    with structlog.contextvars.bound_contextvars(**about), context.listening():
        work(services, context)
    services.close()


def _limit_threads(settings: Settings) -> None:
    if settings.torch_threads:
        import torch

        torch.set_num_threads(settings.torch_threads)
