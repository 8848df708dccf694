"""The sweep: finds jobs whose worker died, and jobs that nobody heard of.

Runs in every process; doubled it is harmless.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog
from sqlalchemy import select

from app import jobs
from app.db import Database
from app.models import Job
from app.queue import Doorbell
from app.settings import Settings

PER_KIND = 10
log = structlog.get_logger()


@dataclass
class Sweeper:
    """Takes a worker for dead when its beat has not moved for the lease on OUR monotonic clock.

    Wall clocks are never compared: they jump, and they differ between machines.
    """

    database: Database
    doorbell: Doorbell
    settings: Settings
    clock: Callable[[], float] = time.monotonic
    _seen: dict[str, tuple[tuple[int, int], float]] = field(default_factory=dict)

    def sweep(self) -> None:
        """One round."""
        with self.database.read() as session:
            running = session.scalars(select(Job).where(Job.status == "running")).all()
        for job in self._silent(running):
            with self.database.write() as session:
                moved_to = jobs.bury(session, job, max_failures=self.settings.max_failures)
            if moved_to:
                log.warning("worker lost", job=job.id, attempt=job.attempt, now=moved_to)
        self._ring_again()

    def run(self, stop: threading.Event) -> None:
        """Sweep until `stop` is set; a database that is away is no reason to end."""
        while not stop.wait(self.settings.sweep_s):
            try:
                self.sweep()
            except Exception:
                log.exception("sweep failed, will try again")

    def _silent(self, running: Sequence[Job]) -> list[Job]:
        time_now = self.clock()
        before, self._seen = self._seen, {}
        silent = []
        for job in running:
            beat = (job.attempt, job.beat_seq)
            last_beat, since = before.get(job.id, (None, time_now))
            self._seen[job.id] = (beat, since if beat == last_beat else time_now)
            if time_now - self._seen[job.id][1] > self.settings.lease_s:
                silent.append(job)
        return silent

    def _ring_again(self) -> None:
        """Ring until each queue holds a message for each of its oldest waiting jobs: no more, or stale ones pile up.

        Whose message it is does not matter: a worker takes the oldest job that waits in its queue.
        """
        waiting: dict[str, list[Job]] = {}
        for job in self._waiting():
            waiting.setdefault(jobs.QUEUES[job.kind], []).append(job)
        for queue, oldest in waiting.items():
            missing = len(oldest) - self.doorbell.messages(queue)
            for job in oldest[: max(0, missing)]:
                self.doorbell.ring(job)

    def _waiting(self) -> list[Job]:
        with self.database.read() as session:
            return [
                job
                for kind in jobs.QUEUES
                for job in session.scalars(
                    select(Job)
                    .where(Job.status == "accepted", Job.kind == kind, ~jobs.waits_for_runs())
                    .order_by(Job.created)
                    .limit(PER_KIND)
                )
            ]
