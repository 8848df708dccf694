"""The sweep: finds jobs whose worker died, and waiting jobs whose notification was lost.

Every process of the service can sweep. On PostgreSQL one of them does, so that a fleet does not read all running jobs
once for each of its processes; several sweeps at the same time are harmless.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog
from sqlalchemy import select

from app.core.db import Database
from app.jobs import claims, lifecycle
from app.jobs.kinds import KINDS
from app.jobs.leader import Leader
from app.jobs.queue import JobQueue
from app.settings import Settings
from app.tables import Job

PER_KIND = 10  # number of waiting jobs of each kind that are notified again
MAX_INTERVALS = 2  # a longer time between two sweeps counts as this number of intervals of `sweep_s`
SILENT_SWEEPS = 3  # a leader that has missed this number of sweeps leads no longer
EARLY = 0.25  # of the lease: after this time without a heartbeat clients are told
log = structlog.get_logger()


@dataclass
class Sweeper:
    """Considers a worker dead when its heartbeat has not changed for the lease, by the monotonic clock of this process.

    Wall clocks are never compared: they jump, and they differ between machines. When the sweep itself was delayed, for
    instance by a slow database, heartbeats may have been delayed, too. So the time between two sweeps counts as at most
    `MAX_INTERVALS` intervals.
    """

    database: Database
    queue: JobQueue
    settings: Settings
    clock: Callable[[], float] = time.monotonic
    # by job: its attempt and beat at the last sweep, and the seconds for which they have not changed
    _beats: dict[str, tuple[tuple[int, int], float]] = field(default_factory=dict)
    # by job and attempt: the seconds for which it has paused
    _pauses: dict[tuple[str, int], float] = field(default_factory=dict)
    _last_sweep: float = 0.0
    _leader: Leader = field(init=False)

    def __post_init__(self) -> None:
        """Become a candidate for the lead."""
        self._leader = Leader(self.database.engine, SILENT_SWEEPS * self.settings.sweep_s)

    def sweep(self) -> None:
        """Give back or end the jobs of dead workers, and repeat missing notifications, unless another process does."""
        if not self._leader.leads():
            return
        with self.database.read() as session:
            running = session.scalars(select(Job).where(Job.status == "running")).all()
            pausing = session.scalars(select(Job).where(Job.status == "accepted", Job.pause_s > 0)).all()
        passed_s = self._passed_s()
        self._end_pauses(pausing, passed_s)
        for job in self._silent(running, passed_s):
            pause_s = self.settings.pause_after(job.failures + 1)
            with self.database.write() as session:
                moved_to = lifecycle.give_back_or_fail(
                    session, job, max_failures=self.settings.max_failures, pause_s=pause_s
                )
            if moved_to:
                log.warning("worker lost", job=job.id, attempt=job.attempt, now=moved_to)
        self._notify_again()

    def _passed_s(self) -> float:
        """The seconds since the last sweep, as far as they count."""
        last_sweep, self._last_sweep = self._last_sweep, self.clock()
        return min(self._last_sweep - last_sweep, MAX_INTERVALS * self.settings.sweep_s)

    def _end_pauses(self, pausing: Sequence[Job], passed_s: float) -> None:
        """Let those jobs be claimed that have waited for the length of their pause since a sweep first saw them."""
        before = self._pauses
        self._pauses = {
            (job.id, job.attempt): before[job.id, job.attempt] + passed_s if (job.id, job.attempt) in before else 0.0
            for job in pausing
        }
        for job in pausing:
            if self._pauses[job.id, job.attempt] >= job.pause_s:
                with self.database.write() as session:
                    lifecycle.end_pause(session, job)

    def _silent(self, running: Sequence[Job], passed_s: float) -> list[Job]:
        """The jobs whose heartbeat has not changed for longer than the lease. Those that may soon be so are told."""
        before, self._beats = self._beats, {}
        for job in running:
            beat = (job.attempt, job.beat_seq)
            last_beat, unchanged_s = before.get(job.id, (None, 0.0))
            self._beats[job.id] = (beat, unchanged_s + passed_s if beat == last_beat else 0.0)
            self._suspect(job, self._beats[job.id][1])
        return [job for job in running if self._beats[job.id][1] > self.settings.lease_s]

    def _suspect(self, job: Job, silent_s: float) -> None:
        """Tell clients once that the worker of a job may be lost, so that its progress does not seem to stand still."""
        early_s = max(EARLY * self.settings.lease_s, 3 * self.settings.heartbeat_s)
        if silent_s > early_s and not job.message.startswith(lifecycle.SILENT):
            with self.database.write() as session:
                lifecycle.suspect(session, job)

    def _notify_again(self) -> None:
        """Send messages until each queue holds one for each of its oldest waiting jobs. More would pile up unused.

        It does not matter which job a message names: a worker takes the oldest job that waits in its queue.
        """
        waiting: dict[str, list[Job]] = {}
        for job in self._waiting():
            waiting.setdefault(KINDS[job.kind].queue, []).append(job)
        for queue, oldest in waiting.items():
            missing = len(oldest) - self.queue.messages(queue)
            for job in oldest[: max(0, missing)]:
                self.queue.notify(job)

    def _waiting(self) -> list[Job]:
        """The oldest jobs of each kind that can be claimed, `PER_KIND` at most."""
        with self.database.read() as session:
            accepted = set(session.scalars(select(Job.kind).where(Job.status == "accepted").distinct()))  # mostly none
            kinds = [kind for kind in KINDS if kind in accepted]
            return [job for kind in kinds for job in claims.oldest_waiting(session, kind, PER_KIND)]
