"""Trainings that are repeated by the clock."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text, false, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.columns import Base, Owned, OwnedId, keep_as_json, now
from app.core.errors import ProblemDocument
from app.requests.learning import TrainingRequest
from app.requests.schedules import PromoteRequest
from app.results import Verdict
from app.tables.mixins import Revised, Titled

keep_as_json(TrainingRequest, PromoteRequest, list[str], Verdict, ProblemDocument)


class Schedule(Titled, Owned, Revised, Base):
    """A training that is repeated at the times of a cron expression.

    training: The request for the training of each run. promote: The gate; None if no version is promoted.
    always: Train also if nothing has changed since the last run.
    due: When the next run is due, in UTC; None while the schedule is disabled. The transaction that changes `due` also
        adds the run.
    """

    __tablename__ = "schedules"

    id: Mapped[str] = mapped_column(OwnedId(80), primary_key=True)
    cron: Mapped[str] = mapped_column(String(200))
    timezone: Mapped[str] = mapped_column(String(80))
    training: Mapped[TrainingRequest]
    promote: Mapped[PromoteRequest | None]
    enabled: Mapped[bool] = mapped_column(default=True)
    always: Mapped[bool] = mapped_column(default=False, server_default=false())
    due: Mapped[datetime | None] = mapped_column(index=True)
    updated: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (Index("ix_schedules_created", "tenant", "created", "id"),)


_IS_OPEN = text("finished IS NULL")  # an index of these rows is small: most runs have ended


class ScheduleRun(Owned, Base):
    """A run: one time that a schedule was due. `app.schedules.schedule_runs` explains its statuses.

    missed: Number of earlier times that were due and got no run. promote: The gate when the run began.
    training: Id of the training and of its job; None if the run was skipped or refused.
    evaluations: Ids of the evaluations of versions with which the new one is compared.
    finished: When the run ended, in UTC; None before.
    """

    __tablename__ = "schedule_runs"

    id: Mapped[str] = mapped_column(OwnedId(100), primary_key=True)
    schedule: Mapped[str] = mapped_column(ForeignKey("schedules.id", ondelete="CASCADE"))
    due: Mapped[datetime]
    trigger: Mapped[str] = mapped_column(String(10))
    missed: Mapped[int] = mapped_column(default=0)
    status: Mapped[str] = mapped_column(String(12))
    message: Mapped[str] = mapped_column(Text, default="")
    promote: Mapped[PromoteRequest | None]
    training: Mapped[str | None] = mapped_column(ForeignKey("trainings.id"), index=True)
    evaluations: Mapped[list[str]] = mapped_column(default=list)
    verdict: Mapped[Verdict | None]
    error: Mapped[ProblemDocument | None]
    created: Mapped[datetime] = mapped_column(default=now)
    finished: Mapped[datetime | None]

    __table_args__ = (
        Index("ux_schedule_runs_due", "schedule", "due", unique=True),
        Index("ix_schedule_runs_created", "schedule", "created", "id"),
        Index("ix_schedule_runs_open", "schedule", postgresql_where=_IS_OPEN, sqlite_where=_IS_OPEN),
    )
