"""The sweep: finds jobs whose worker died, and jobs that nobody heard of.

Runs in every process; doubled it is harmless.
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

PER_KIND = 10
ROUNDS_HELD_UP = 2
log = structlog.get_logger()


@dataclass
class Sweeper:
    """Takes a worker for dead when its beat has not moved for the lease on OUR monotonic clock.

    Wall clocks are never compared: they jump, and they differ between machines. While the sweep itself was held up,
    for instance by a database that stood still, beats may have been, too: such a time counts as two rounds at most.
    """

    database: Database
    queue: JobQueue
    settings: Settings
    clock: Callable[[], float] = time.monotonic
    _seen: dict[str, tuple[tuple[int, int], float]] = field(default_factory=dict)  # the last beat, and for how long
    _looked: float = 0.0

    def sweep(self) -> None:
        """One round."""
        with self.database.read() as session:
            running = session.scalars(select(Job).where(Job.status == "running")).all()
        for job in self._silent(running):
            with self.database.write() as session:
                moved_to = lifecycle.give_back_or_fail(session, job, max_failures=self.settings.max_failures)
            if moved_to:
                log.warning("worker lost", job=job.id, attempt=job.attempt, now=moved_to)
        self._ring_again()

    def _silent(self, running: Sequence[Job]) -> list[Job]:
        last_look, self._looked = self._looked, self.clock()
        passed = min(self._looked - last_look, ROUNDS_HELD_UP * self.settings.sweep_s)
        before, self._seen = self._seen, {}
        for job in running:
            beat = (job.attempt, job.beat_seq)
            last_beat, still_s = before.get(job.id, (None, 0.0))
            self._seen[job.id] = (beat, still_s + passed if beat == last_beat else 0.0)
        return [job for job in running if self._seen[job.id][1] > self.settings.lease_s]

    def _ring_again(self) -> None:
        """Ring until each queue holds a message for each of its oldest waiting jobs: no more, or stale ones pile up.

        Whose message it is does not matter: a worker takes the oldest job that waits in its queue.
        """
        waiting: dict[str, list[Job]] = {}
        for job in self._waiting():
            waiting.setdefault(KINDS[job.kind].queue, []).append(job)
        for queue, oldest in waiting.items():
            missing = len(oldest) - self.queue.messages(queue)
            for job in oldest[: max(0, missing)]:
                self.queue.notify(job)

    def _waiting(self) -> list[Job]:
        with self.database.read() as session:
            return [
                job
                for kind in KINDS
                for job in session.scalars(
                    select(Job)
                    .where(Job.status == "accepted", Job.kind == kind, ~lifecycle.waits_for_runs())
                    .order_by(Job.created)
                    .limit(PER_KIND)
                )
            ]
