"""Keeps a job while a child process does it: beats for it, watches over the child, and passes on the signs to stop."""

import signal
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess

import structlog
from kombu.utils.functional import retry_over_time
from sqlalchemy.exc import OperationalError

from app.jobs import lifecycle
from app.services import Services
from ml.progress import Progress, Stopped
from worker import scratch
from worker.context import Abandoned, Dismissed, Released
from worker.metrics import ATTEMPTS, PIXELS
from worker.process import Main, main, waiting_process

GIVE_UP = 0.6  # of the lease: who could not beat for so long must expect that somebody else has the job
# Seconds that a child has to obey. A worker must be gone 20 s after SIGTERM; what is somebody else's ends at once.
GRACE_S: dict[type[Stopped], float] = {Dismissed: 10, Released: 12, Abandoned: 0}
LOOK_S = 0.2  # how often to look whether this worker shall end
log = structlog.get_logger()


def perform_all(services: Services, queues: Sequence[str], stopping: threading.Event) -> None:
    """See through what waits in `queues`, one job of each in turn, until a round has ended none.

    A job that was given back waits for the next ring: what it lacks, a store perhaps, will still be away.
    """
    while sum(perform(services, queue, stopping) for queue in queues):
        pass


def perform(services: Services, queue: str, stopping: threading.Event, main: Main = main) -> bool:
    """See the oldest job of a queue through, if one waits; whether it has ended.

    stopping: set when this worker shall end: then it claims nothing more. main: what the child runs.
    """
    if stopping.is_set():
        return False  # the job it has just given back rings here, too; the sweep rings again for another worker
    with services.database.read() as session:
        if not lifecycle.waiting(session, queue):
            return False
    with ExitStack() as stack:
        try:
            # before the claim: if what children come from has died, this takes seconds, in which nobody would beat
            process, connection = stack.enter_context(waiting_process(services.settings, main))
        except (OSError, EOFError) as error:
            log.warning("no process for a job", error=str(error))
            return False
        return _claim_and_keep(services, queue, stopping, process, connection)


def _claim_and_keep(
    services: Services, queue: str, stopping: threading.Event, process: ForkServerProcess, connection: Connection
) -> bool:
    with services.database.write() as session:
        claim = lifecycle.claim_waiting(session, queue)
    if claim is None:
        return False
    with structlog.contextvars.bound_contextvars(job=claim.job_id, attempt=claim.attempt):
        log.info("claimed", kind=claim.kind)
        since = time.monotonic()
        JobSupervisor(services, claim, stopping).keep(process, connection)
        status = _status_after(services, claim)
    ATTEMPTS.labels(claim.kind, status).observe(time.monotonic() - since)
    return status in lifecycle.FINAL


def _status_after(services: Services, claim: lifecycle.Claim) -> str:
    with services.database.read() as session:
        job = lifecycle.get(session, claim.job_id)
        if job.parent:  # perhaps the last run that an experiment waited for: whether it was, its claim decides
            services.queue.notify(lifecycle.get(session, job.parent))
    return job.status


class JobSupervisor:
    """Of one claimed job, until its child has ended."""

    def __init__(self, services: Services, claim: lifecycle.Claim, stopping: threading.Event) -> None:
        self._services, self._claim, self._stopping = services, claim, stopping
        self._progress: Progress | None = None
        self._reason: type[Stopped] | None = None
        self._killed = ""  # why, if we had to
        self._kill_at = float("inf")
        self._last_beat = self._last_progress = time.monotonic()
        self._stage_start = (time.monotonic(), 0)

    def keep(self, process: ForkServerProcess, connection: Connection) -> None:
        """Send the waiting child its claim and stay until it has ended, and the job has been ended or given back."""
        try:
            with suppress(OSError):  # it has died already
                connection.send(self._claim)
            self._stay(process, connection)
        finally:
            process.kill()
            process.join()
        self._settle(process.exitcode)

    def _stay(self, process: ForkServerProcess, connection: Connection) -> None:
        talking, next_beat = True, time.monotonic()
        while True:
            ready = wait([connection, process.sentinel] if talking else [process.sentinel], timeout=LOOK_S)
            if connection in ready:
                talking = self._hear(connection)
            elif process.sentinel in ready:
                return
            if time.monotonic() >= next_beat:
                self._beat()
                next_beat = time.monotonic() + self._services.settings.heartbeat_s
            self._tell(process, connection)

    def _hear(self, connection: Connection) -> bool:
        """Take a report of progress; False when the child has no more to say."""
        try:
            progress: Progress = connection.recv()
        except (EOFError, OSError):
            return False
        if self._progress is None or progress.stage != self._progress.stage:
            self._stage_start = (time.monotonic(), progress.done)
        elif progress.pixels:
            PIXELS.inc(progress.pixels - self._progress.pixels)
        self._progress, self._last_progress = progress, time.monotonic()
        return True

    def _beat(self) -> None:
        settings = self._services.settings
        try:
            with self._services.database.write() as session:
                if lifecycle.beat(session, self._claim, self._progress, self._eta_s()):
                    self._reason = self._reason or Dismissed
            self._last_beat = time.monotonic()
        except lifecycle.Lost:
            self._reason = Abandoned
        except Exception as error:  # the database may come back in time
            log.warning("no heartbeat", error=str(error))
            if time.monotonic() - self._last_beat > GIVE_UP * settings.lease_s:
                self._reason = Abandoned

    def _tell(self, process: ForkServerProcess, connection: Connection) -> None:
        """Pass a reason to stop on, once; kill a child that does not obey in time, or makes no progress at all."""
        if self._stopping.is_set():
            self._reason = self._reason or Released
        if self._reason and self._kill_at == float("inf"):
            self._kill_at = time.monotonic() + GRACE_S[self._reason]
            with suppress(OSError):  # it has just ended
                connection.send(self._reason)
        stalled = time.monotonic() - self._last_progress > self._services.settings.stall_s
        if stalled or time.monotonic() >= self._kill_at:
            self._killed = f"made no progress for {self._services.settings.stall_s:g} s" if stalled else "did not stop"
            process.kill()

    def _settle(self, exitcode: int | None) -> None:
        """End, or give back, the job that the child did not end itself; tried again while the database is away."""
        cause = self._killed or _cause(exitcode)
        settle = partial(self._end_or_give_back, cause)
        ended = retry_over_time(settle, OperationalError, interval_max=1, timeout=self._services.settings.lease_s)
        if ended:  # a process that has just recorded its success may have been ended before it could clean up
            scratch.remove(self._services.settings.data_dir / "scratch", self._claim.job_id)

    def _end_or_give_back(self, cause: str) -> bool:
        """Whether the job has ended. If it is still ours, nobody else has it: its process is dead."""
        with self._services.database.write() as session:
            job = lifecycle.get(session, self._claim.job_id)
            if (job.status, job.attempt) == ("running", self._claim.attempt):
                if self._reason is Dismissed:
                    lifecycle.dismissed(session, self._claim)
                elif self._reason:
                    lifecycle.release(session, self._claim)
                else:
                    lifecycle.give_back_or_fail(
                        session, job, max_failures=self._services.settings.max_failures, cause=cause
                    )
                log.warning("the job's process ended before the job", status=job.status, cause=cause)
            return job.status in lifecycle.FINAL

    def _eta_s(self) -> float | None:
        """Seconds left in this stage, at the pace that it had so far."""
        if self._progress is None:
            return None
        start, first = self._stage_start
        worked = self._progress.done - first
        return (time.monotonic() - start) * (self._progress.total - self._progress.done) / worked if worked else None


def _cause(exitcode: int | None) -> str:
    """How a process ended: by a signal, if the code is negative."""
    if exitcode is not None and exitcode < 0:
        hint = ", perhaps for want of memory" if -exitcode == signal.SIGKILL else ""
        return f"was ended by {signal.Signals(-exitcode).name}{hint}"
    return f"ended with code {exitcode}"
