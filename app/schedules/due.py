"""The tick: finds schedules that are due, and runs that can continue.

Every process of the service ticks; several ticks at the same time are harmless.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy import select, update

from app.core import acting, tenancy
from app.core.acting import Act
from app.core.columns import now
from app.schedules import cron, schedule_runs
from app.services import Services
from app.tables import Job, Schedule, ScheduleRun

LATE = timedelta(minutes=5)  # a run that starts later than this has the trigger "catch_up"
log = structlog.get_logger()


@dataclass
class Ticker:
    """Starts runs of schedules and moves them on. clock: returns the current time, by which schedules are due."""

    services: Services
    clock: Callable[[], datetime] = now

    def tick(self) -> None:
        """Start the runs that are due and move on all unfinished runs. An error in one does not affect the others."""
        with tenancy.acting_for(tenancy.ALL), self.services.database.read() as session:
            due = session.scalars(select(Schedule).where(Schedule.due <= self.clock())).all()
        for schedule in due:
            self._guarded(schedule.tenant, schedule.id, schedule.id, partial(self._fire, schedule))
        with tenancy.acting_for(tenancy.ALL), self.services.database.read() as session:
            open_runs = session.scalars(select(ScheduleRun).where(ScheduleRun.finished.is_(None))).all()
        for run in open_runs:
            self._guarded(run.tenant, run.schedule, run.id, partial(self._advance, run.id))

    def _guarded(self, tenant: str, schedule: str, what: str, do: Callable[[], list[Job]]) -> None:
        """Do something on behalf of a schedule. schedule, what: The whole id of it, and of itself or its run."""
        try:
            with tenancy.acting_for(tenant), acting.acting(Act(f"schedule {tenancy.plain(schedule)}", "run")):
                for job in do():
                    self.services.queue.notify(job)
        except Exception:
            log.exception("a schedule or a run could not be moved on, will try again", what=what)

    def _fire(self, read: Schedule) -> list[Job]:
        """Set the next `due` and begin the run, in one transaction, unless another process has changed `due` already.

        read: The schedule as it was read. Returns the jobs to notify workers of.
        """
        moment = self.clock()
        assert read.due is not None
        missed = cron.missed(read.cron, read.timezone, read.due, moment)
        with self.services.database.write() as session:
            moved = session.scalars(
                update(Schedule)
                .where(Schedule.id == read.id, Schedule.due == read.due, Schedule.revision == read.revision)
                .values(due=cron.after(read.cron, read.timezone, moment))
                .returning(Schedule)
            ).one_or_none()
            # there is a run already when the clock was set back
            if moved is None or schedule_runs.at(session, read.id, missed.due):
                return []
            late = missed.earlier > 0 or moment - missed.due > LATE
            trigger = "catch_up" if late else "cron"
            settings, earlier = self.services.settings, missed.earlier
            job = schedule_runs.begin(
                session, moved, missed.due, moment, settings=settings, trigger=trigger, missed=earlier
            )
        return [job] if job else []

    def _advance(self, id_: str) -> list[Job]:
        with self.services.database.write() as session:
            return schedule_runs.advance(session, id_, self.clock())
