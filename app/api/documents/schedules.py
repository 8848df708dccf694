"""The documents of schedules and their runs."""

from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field

from app import tables
from app.api.documents.base import Document, Link, Page, Title, link
from app.api.documents.trainings import VersionReference, registered
from app.core.errors import ProblemDocument
from app.requests.learning import TrainingRequest
from app.requests.schedules import PromoteRequest
from app.results import Verdict


class Schedule(Document):
    """A training that is repeated at the times of a cron expression.

    `next` is the time of its next run in UTC, and `next_local` is the same time in its own time zone. Both are null
    while the schedule is disabled.
    """

    id: str
    name: str
    cron: str
    timezone: str
    training: TrainingRequest
    promote: PromoteRequest | None
    enabled: bool
    always: bool = Field(description="Whether a run trains although nothing has changed since the last one.")
    next: datetime | None
    next_local: str | None
    title: Title
    created: datetime
    updated: datetime
    links: tuple[Link, ...]

    @classmethod
    def of(cls, row: tables.Schedule) -> "Schedule":
        """The document of the schedule in `row`."""
        local = row.due and row.due.astimezone(ZoneInfo(row.timezone))
        url = f"/v1/schedules/{row.id}"
        return cls(
            id=row.id,
            name=row.id,
            cron=row.cron,
            timezone=row.timezone,
            training=row.training,
            promote=row.promote,
            enabled=row.enabled,
            always=row.always,
            next=row.due,
            next_local=local and local.isoformat(),
            title=row.title,
            created=row.created,
            updated=row.updated,
            links=(link(url, "self"), link(f"{url}/runs", "runs")),
        )


class Schedules(Page[Schedule]):
    """A page of schedules, newest first."""


class ScheduleRun(Document):
    """A run: one time that a schedule was due. `model` is null until the training has registered a version."""

    id: str
    schedule: str
    due: datetime
    trigger: Literal["cron", "catch_up", "manual"]
    missed: int = Field(description="Number of earlier due times that were missed and that this run makes up for.")
    status: Literal[
        "training", "evaluating", "promoted", "proposed", "kept", "trained", "skipped", "failed", "dismissed"
    ]
    message: str
    promote: PromoteRequest | None = Field(description="The gate of the schedule, as it was when the run began.")
    training: str | None = Field(description="Id of the training; null if the run was skipped or refused.")
    evaluations: tuple[str, ...] = Field(description="Evaluations that the comparison with the new version needed.")
    model: VersionReference | None
    verdict: Verdict | None
    error: ProblemDocument | None
    created: datetime
    finished: datetime | None

    @classmethod
    def of(cls, row: tables.ScheduleRun, made: tables.Training | None) -> "ScheduleRun":
        """The document of the run in `row`. made: its training, or None if it has none."""
        return cls(
            id=row.id,
            schedule=row.schedule,
            due=row.due,
            trigger=row.trigger,
            missed=row.missed,
            status=row.status,
            message=row.message,
            promote=row.promote,
            training=row.training,
            evaluations=tuple(row.evaluations),
            model=registered(made),
            verdict=row.verdict,
            error=row.error,
            created=row.created,
            finished=row.finished,
        )


class ScheduleRuns(Page[ScheduleRun]):
    """A page of the runs of a schedule, newest first."""
