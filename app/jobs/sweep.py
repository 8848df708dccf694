"""The sweep: finds jobs whose worker died, and waiting jobs whose notification was lost.

Every process of the service sweeps; several sweeps at the same time are harmless.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog
from sqlalchemy import select

from app.core.db import Database
from app.jobs import lifecycle
from app.jobs.kinds import KINDS
from app.jobs.queue import JobQueue
from app.settings import Settings
from app.tables import Job

PER_KIND = 10  # number of waiting jobs of each kind that are notified again
MAX_INTERVALS = 2  # a longer time between two sweeps counts as this number of intervals of `sweep_s`
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
    _last_sweep: float = 0.0

    def sweep(self) -> None:
        """Give back or end the jobs of dead workers, and repeat missing notifications of waiting jobs."""
        with self.database.read() as session:
            running = session.scalars(select(Job).where(Job.status == "running")).all()
        for job in self._silent(running):
            with self.database.write() as session:
                moved_to = lifecycle.give_back_or_fail(session, job, max_failures=self.settings.max_failures)
            if moved_to:
                log.warning("worker lost", job=job.id, attempt=job.attempt, now=moved_to)
        self._notify_again()

    def _silent(self, running: Sequence[Job]) -> list[Job]:
        """The jobs whose heartbeat has not changed for longer than the lease."""
        last_sweep, self._last_sweep = self._last_sweep, self.clock()
        passed_s = min(self._last_sweep - last_sweep, MAX_INTERVALS * self.settings.sweep_s)
        before, self._beats = self._beats, {}
        for job in running:
            beat = (job.attempt, job.beat_seq)
            last_beat, unchanged_s = before.get(job.id, (None, 0.0))
            self._beats[job.id] = (beat, unchanged_s + passed_s if beat == last_beat else 0.0)
        return [job for job in running if self._beats[job.id][1] > self.settings.lease_s]

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
            return [
                job
                for kind in KINDS
                for job in session.scalars(
                    select(Job)
                    .where(Job.status == "accepted", Job.kind == kind, ~lifecycle.waits_for_children())
                    .order_by(Job.created)
                    .limit(PER_KIND)
                )
            ]
