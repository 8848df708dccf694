"""The tick: finds schedules that are due and runs that can go on. Runs in every process; doubled it is harmless."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy import select, update

from app.core.columns import now
from app.schedules import cron, schedule_runs
from app.services import Services
from app.tables import Job, Schedule, ScheduleRun

LATE = timedelta(minutes=5)
log = structlog.get_logger()


@dataclass
class Ticker:
    """clock: the time of day by which schedules are due."""

    services: Services
    clock: Callable[[], datetime] = now

    def tick(self) -> None:
        """One round; a schedule that goes wrong does not hold up the others."""
        with self.services.database.read() as session:
            due = session.scalars(select(Schedule).where(Schedule.due <= self.clock())).all()
        for schedule in due:
            self._guarded(schedule.id, partial(self._fire, schedule))
        with self.services.database.read() as session:
            open_runs = session.scalars(select(ScheduleRun.id).where(ScheduleRun.finished.is_(None))).all()
        for id_ in open_runs:
            self._guarded(id_, partial(self._advance, id_))

    def _guarded(self, what: str, do: Callable[[], list[Job]]) -> None:
        try:
            for job in do():
                self.services.queue.notify(job)
        except Exception:
            log.exception("not moved on, will try again", what=what)

    def _fire(self, seen: Schedule) -> list[Job]:
        """Move `due` on and make the run, in one transaction: who finds `due` moved already makes none."""
        moment = self.clock()
        assert seen.due is not None
        come = cron.come(seen.cron, seen.timezone, seen.due, moment)
        with self.services.database.write() as session:
            moved = session.scalars(
                update(Schedule)
                .where(Schedule.id == seen.id, Schedule.due == seen.due, Schedule.revision == seen.revision)
                .values(due=cron.after(seen.cron, seen.timezone, moment))
                .returning(Schedule)
            ).one_or_none()
            if moved is None or schedule_runs.at(session, seen.id, come.due):  # the latter after a clock was set back
                return []
            late = come.earlier > 0 or moment - come.due > LATE
            trigger = "catch_up" if late else "cron"
            job = schedule_runs.begin(session, moved, come.due, moment, trigger=trigger, missed=come.earlier)
        return [job] if job else []

    def _advance(self, id_: str) -> list[Job]:
        with self.services.database.write() as session:
            return schedule_runs.advance(session, id_, self.clock())
