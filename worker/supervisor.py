"""Supervises a child process that does a job: sends heartbeats, passes requests to stop on, and ends the process."""

import os
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from typing import NoReturn

import structlog
from kombu.utils.functional import retry_over_time
from opentelemetry.trace import StatusCode
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.core import tenancy, tracing
from app.core.columns import now
from app.core.errors import refusal
from app.jobs import claims, lifecycle
from app.jobs.lifecycle import Death
from app.services import Services
from ml.faults import Fault, InputRefused
from ml.progress import Progress, Stopped
from worker import crash_report, resume, scratch
from worker.context import Abandoned, Dismissed, Released
from worker.crash_report import ASK, ASK_S, CRASHES
from worker.gpu import WorkerGpu
from worker.metrics import ATTEMPTS, PIXELS
from worker.process import Main, killed, main, waiting_process

GIVE_UP = 0.6  # fraction of the lease: after this time without a heartbeat, another worker may soon claim the job
# Seconds in which a child must stop. A worker must have ended 20 s after SIGTERM; without a claim a child is killed at
# once.
GRACE_S: dict[type[Stopped], float] = {Dismissed: 10, Released: 12, Abandoned: 0}
STEPPING = {"train", "predict"}  # stages whose steps take about equally long
SLOWEST = 10  # a step may take this many times as long as the longest one so far
POLL_S = 0.2  # how often to check whether this worker must stop
STUCK = 70  # exit code of a worker whose child could not be killed
log = structlog.get_logger()


def perform_all(
    services: Services, queues: Sequence[str], stopping: threading.Event, gpu: WorkerGpu | None = None
) -> None:
    """Do the jobs that wait in `queues`, one of each queue in turn, until no job can be claimed.

    A job that is given back pauses, so that it keeps no other job waiting. gpu: See `perform`.
    """
    while sum(perform(services, queue, stopping, gpu=gpu) for queue in queues):
        pass


def perform(
    services: Services, queue: str, stopping: threading.Event, main: Main = main, gpu: WorkerGpu | None = None
) -> bool:
    """Do the oldest job of a queue, if one waits. Returns whether there was one.

    stopping: Set when this worker must stop; then it claims no more jobs. main: The function that the child runs.
    gpu: What this worker knows of its GPU, which decides what it claims; None to claim everything.
    """
    if gpu and gpu.trouble:
        return False
    if stopping.is_set():
        return False  # even if notified of the job that it has given back; the sweep notifies another worker
    with tenancy.acting_for(tenancy.ALL), services.database.read() as session:
        if not claims.any_waiting(session, queue, gpu=gpu is None or gpu.usable):
            return False
    with ExitStack() as stack:
        try:
            # before the claim: if the server process has died, this takes seconds, without heartbeats
            process, connection = stack.enter_context(waiting_process(services.settings, main))
        except (OSError, EOFError) as error:
            log.warning("the process for a job could not be started", error=str(error))
            return False
        with tenancy.acting_for(tenancy.ALL), services.database.write() as session:
            claim = claims.claim_waiting(session, queue, gpu=gpu is None or gpu.usable)
        if claim is None:
            return False
        with tenancy.acting_for(claim.tenant):
            ended = _supervise(services, claim.in_its_scope(), stopping, process, connection)
    if gpu and ended == "gpu-fault":
        gpu.check_after_fault()
    return True


def _supervise(
    services: Services,
    claim: claims.Claim,
    stopping: threading.Event,
    process: ForkServerProcess,
    connection: Connection,
) -> str:
    """Supervise the process of a claimed job. Returns what became of the attempt; "" if it was not recorded."""
    job = tenancy.whole(claim.job_id)
    about: dict[str, str | int] = {"canemap.job.id": job, "canemap.job.attempt": claim.attempt}
    with (
        structlog.contextvars.bound_contextvars(job=job, attempt=claim.attempt),
        tracing.span_of_job(claim.kind, claim.traceparent, about) as span,
    ):
        log.info("claimed", kind=claim.kind)
        since = time.monotonic()
        # what the child asks for, the jobs of parts for instance, belongs to this attempt
        traced = replace(claim, traceparent=tracing.current())
        JobSupervisor(services, traced, stopping).supervise(process, connection)
        status, outcome = _after(services, claim)
        span.set_attribute("canemap.job.status", status)
        if status == "failed":
            span.set_status(StatusCode.ERROR)
    ATTEMPTS.labels(claim.kind, status).observe(time.monotonic() - since)
    return outcome


def _after(services: Services, claim: claims.Claim) -> tuple[str, str]:
    """The status of the job now, and the outcome of the attempt."""
    with services.database.read() as session:
        job = lifecycle.get(session, claim.job_id)
        if job.parent:  # the parent may have waited for this job only; it can be claimed if it did
            services.queue.notify(lifecycle.get(session, job.parent))
    return job.status, next((end.outcome for end in job.attempts if end.attempt == claim.attempt), "")


class JobSupervisor:
    """Supervises the child process of one claimed job until the process has ended."""

    def __init__(self, services: Services, claim: claims.Claim, stopping: threading.Event) -> None:
        self._services, self._claim, self._stopping = services, claim, stopping
        self._progress: Progress | None = None
        self._reason: type[Stopped] | None = None
        self._killed: Death | None = None  # why the child was killed, if it was
        self._kill_at = float("inf")
        self._last_beat = self._last_progress = time.monotonic()
        self._stage_start = (time.monotonic(), 0)
        self._longest_step_s: float | None = None  # in this stage; None before its first step
        self._stages = tracing.Stages()

    def supervise(self, process: ForkServerProcess, connection: Connection) -> None:
        """Send the claim to the waiting child. Return when it has ended, and the job has ended or was given back."""
        try:
            with suppress(OSError):  # the child has died already
                connection.send(self._claim)
            self._watch(process, connection)
        finally:
            ended = killed(process)
            self._stages.end()
        if not ended:
            self._killed = Death("could not be killed", "stalled")
        self._settle(process.exitcode)
        if not ended:
            _end_worker(process)

    def _watch(self, process: ForkServerProcess, connection: Connection) -> None:
        """Receive progress, send heartbeats and requests to stop, until the child has ended."""
        is_open, next_beat = True, time.monotonic()
        while True:
            ready = wait([connection, process.sentinel] if is_open else [process.sentinel], timeout=POLL_S)
            if connection in ready:
                is_open = self._receive(connection)
            elif process.sentinel in ready:
                return
            if time.monotonic() >= next_beat:
                self._beat()
                next_beat = time.monotonic() + self._services.settings.heartbeat_s
            self._stop_child(process, connection)
            if self._killed:
                return  # whoever called this kills the child, and sends no heartbeat while it waits for its end

    def _receive(self, connection: Connection) -> bool:
        """Receive a report of progress. Returns False when the child has closed the connection."""
        try:
            progress: Progress = connection.recv()
        except (EOFError, OSError):
            return False
        if self._progress is None or progress.stage != self._progress.stage:
            self._stage_start, self._longest_step_s = (time.monotonic(), progress.done), None
            self._stages.enter(progress.stage)
        else:
            self._note_step(self._progress, progress)
        self._progress, self._last_progress = progress, time.monotonic()
        return True

    def _note_step(self, before: Progress, progress: Progress) -> None:
        if progress.pixels:
            PIXELS.inc(progress.pixels - before.pixels)
        if progress.done > before.done:
            self._longest_step_s = max(self._longest_step_s or 0, time.monotonic() - self._last_progress)

    def _patience(self) -> tuple[float, str]:
        """Seconds without a report of progress after which the child is stuck, and what it did not make then."""
        settings, progress, longest_s = self._services.settings, self._progress, self._longest_step_s
        # after an epoch it writes and uploads, and after the last step it packs
        steps = progress and progress.stage in STEPPING and progress.done < progress.total and not progress.values
        if steps and longest_s is not None:
            patience_s = max(settings.step_stall_s, SLOWEST * longest_s)
            if patience_s < settings.stall_s:
                return patience_s, "step"
        return settings.stall_s, "progress"

    def _beat(self) -> None:
        settings = self._services.settings
        try:
            with self._services.database.write() as session:
                if claims.beat(session, self._claim, self._progress, self._eta_s()):
                    self._reason = self._reason or Dismissed
            self._last_beat = time.monotonic()
        except claims.Lost:
            self._reason = Abandoned
        except Exception as error:  # the database may become available again in time
            log.warning("a heartbeat could not be sent", error=str(error))
            if time.monotonic() - self._last_beat > GIVE_UP * settings.lease_s:
                self._reason = Abandoned

    def _stop_child(self, process: ForkServerProcess, connection: Connection) -> None:
        """Send a reason to stop, if any, once. Kill a child that does not stop in time or makes no progress."""
        if self._stopping.is_set():
            self._reason = self._reason or Released
        if self._reason and self._kill_at == float("inf"):
            self._kill_at = time.monotonic() + GRACE_S[self._reason]
            with suppress(OSError):  # the child has just ended
                connection.send(self._reason)
        patience_s, what = self._patience()
        if time.monotonic() - self._last_progress > patience_s:
            self._killed = Death(f"made no {what} for {patience_s:.3g} s", "stalled")
            _ask_where_it_is(process)
        elif time.monotonic() >= self._kill_at:
            self._killed = Death("did not stop", "stalled")

    def _settle(self, exitcode: int | None) -> None:
        """End the job, or give it back, unless the child has done so. Tried again while the database is unreachable."""
        death = self._killed or Death(_cause(exitcode), "crashed")
        settle = partial(self._end_or_give_back, death, self._fault_of_file(exitcode, death))
        status = retry_over_time(settle, OperationalError, interval_max=1, timeout=self._services.settings.lease_s)
        # the child may have been killed after it recorded its success and before it deleted what nothing needs now
        if status in lifecycle.FINAL:
            scratch.remove(self._services.settings.data_dir / "scratch", self._claim.job_id)
        if status == "successful":
            resume.forget(self._services.store, self._claim.job_id)

    def _fault_of_file(self, exitcode: int | None, death: Death) -> Fault | None:
        """The fault of the file that made the process crash or hang, if the process has written that down."""
        if self._reason or (exitcode is None or -exitcode not in CRASHES):
            return None
        folder = scratch.folder_of(self._services.settings.data_dir / "scratch", self._claim.job_id)
        report = crash_report.path_in(folder, self._claim.attempt)
        return crash_report.reading_fault(report, self._progress, death.cause, hung=bool(self._killed))

    def _end_or_give_back(self, death: Death, fault: Fault | None) -> str:
        """End the job or give it back if the claim is still valid. Returns the status of the job then.

        fault: The fault of the file that ended the process, with which another attempt would end in the same way.

        The process of the job is dead, so nothing else can end the job at the same time.
        """
        with self._services.database.write() as session:
            job = lifecycle.get(session, self._claim.job_id)
            if (job.status, job.attempt) == ("running", self._claim.attempt):
                if self._reason:
                    self._end_as_asked(session, self._reason, death)
                elif fault:
                    problem = refusal(InputRefused(fault))
                    claims.log(session, self._claim, [(now(), f"failed: {problem.detail}")])
                    claims.fail(session, self._claim, problem)
                else:
                    settings = self._services.settings
                    pause_s = settings.pause_after(job.failures + 1)
                    lifecycle.give_back_or_fail(
                        session, job, max_failures=settings.max_failures, pause_s=pause_s, death=death
                    )
                log.warning("the process ended without ending its job", status=job.status, cause=death.cause)
            return job.status

    def _end_as_asked(self, session: Session, reason: type[Stopped], death: Death) -> None:
        """End the job, or give it back, as the child should have done before its process ended."""
        if reason is Dismissed:
            claims.dismissed(session, self._claim)
        else:
            claims.release(session, self._claim)
        what = "dismissed" if reason is Dismissed else "given back"
        claims.log(session, self._claim, [(now(), f"{what}: its process {death.cause}")])

    def _eta_s(self) -> float | None:
        """Estimated seconds until the end of the stage, from its speed so far; None before the first progress in it."""
        if self._progress is None:
            return None
        start, first = self._stage_start
        worked = self._progress.done - first
        return (time.monotonic() - start) * (self._progress.total - self._progress.done) / worked if worked else None


def _end_worker(process: ForkServerProcess) -> NoReturn:
    """End this worker at once: its child is stuck in the kernel, and may keep the GPU or the disk from the next one.

    A usual end would wait for the child. Whatever supervises the worker starts another one.
    """
    log.critical("the process of the job could not be killed: this worker ends", process=process.pid)
    os._exit(STUCK)


def _ask_where_it_is(process: ForkServerProcess) -> None:
    """Have a process that hangs write down where it is. It may not be able to, when it is stopped for instance."""
    if process.pid:
        with suppress(ProcessLookupError):
            os.kill(process.pid, ASK)
        process.join(ASK_S)


def _cause(exitcode: int | None) -> str:
    """How a process ended, as the predicate of a sentence. exitcode: negative if a signal ended it."""
    if exitcode is None or exitcode >= 0:
        return f"ended with code {exitcode}"
    name = signal.Signals(-exitcode).name
    if -exitcode == signal.SIGKILL:
        return f"was ended by {name}, perhaps because memory ran out"
    return f"was ended by {name}"
