"""The documents of jobs."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from pydantic import Field

from app import tables
from app.api.documents.base import Document, Link, Omitted, Page, link
from app.core.errors import ProblemDocument
from app.jobs.kinds import KINDS
from app.results import EndedAttempt

Kind = Literal[*KINDS]  # type: ignore[valid-type]
OGC_REL = "http://www.opengis.net/def/rel/ogc/1.0/"
Status = Literal["accepted", "running", "successful", "failed", "dismissed"]


class _OfJob(Document):
    """What both documents of a job begin with."""

    job_id: str = Field(alias="jobID", description="Id of the job, which is also the id of the resource that it makes.")
    type: Literal["process"] = "process"
    process_id: Kind = Field(alias="processID", description="The kind of the job.")
    status: Status
    message: str
    progress: int = Field(ge=0, le=100, description="Progress in percent.")
    created: datetime


class StatusInfo(_OfJob):
    """The state of a job as OGC API - Processes has it, without any null."""

    started: Omitted[datetime] = None
    finished: Omitted[datetime] = None
    updated: datetime
    links: tuple[Link, ...]

    @classmethod
    def of(cls, job: "Job") -> "StatusInfo":
        """The state that this document tells."""
        return cls(**{name: getattr(job, name) for name in cls.model_fields})


class Job(_OfJob):
    """The state of a job: `statusInfo` of OGC API - Processes. canemap adds the fields from `stage` on."""

    started: datetime | None
    finished: datetime | None
    updated: datetime
    stage: str = Field(description="The stage that is being worked on; empty before work begins.")
    done: int = Field(description="How much of `total` is done, in steps, windows or child jobs.")
    total: int = Field(description="How much there is to do in all; 0 while this is not known.")
    eta_s: float | None = Field(description="Estimated seconds until the job ends; null if unknown.")
    attempt: int = Field(description="How often a worker has begun the job.")
    parent: str | None = Field(description="Id of the experiment, survey or prediction that the job belongs to.")
    dismissal_requested: bool
    failures: int = Field(description="How often the process of the job died since it was last asked for.")
    returns: int = Field(description="How often workers gave the job back that could not do it, since then.")
    next_attempt: datetime | None = Field(
        description="About when the job will be tried again, while it pauses after a death of its process or a return."
    )
    attempts: tuple[EndedAttempt, ...] = Field(description="What became of the last 20 attempts that have ended.")
    error: ProblemDocument | None = Field(description="Why the job failed.")
    links: tuple[Link, ...]

    @classmethod
    def of(cls, row: tables.Job) -> "Job":
        """The document of the job in `row`."""
        return cls(
            job_id=row.id,
            process_id=row.kind,
            status=row.reported_status,
            message=row.message,
            progress=100 if row.status == "successful" else min(99, 100 * row.done // max(row.total, 1)),
            created=row.created,
            started=row.started,
            finished=row.finished,
            updated=row.updated,
            stage=row.stage,
            done=row.done,
            total=row.total,
            eta_s=row.eta_s,
            attempt=row.attempt,
            parent=row.parent,
            dismissal_requested=row.dismissal_requested,
            failures=row.failures,
            returns=row.returns,
            next_attempt=row.next_attempt,
            attempts=tuple(row.attempts),
            error=row.error,
            links=_links(row),
        )


class Jobs(Page[Job]):
    """A page of jobs, newest first. `jobs` has the same ones as OGC API - Processes lists them."""

    jobs: tuple[StatusInfo, ...]
    links: tuple[Link, ...]

    @classmethod
    def of(cls, items: Iterable[Job], token: str | None, further: str | None) -> "Jobs":
        """The page with these jobs. further: address of the next page."""
        found = tuple(items)
        links = (link("/v1/jobs", "self"), *((link(further, "next"),) if further else ()))
        return cls(items=found, next=token, jobs=tuple(map(StatusInfo.of, found)), links=links)


def result_of(row: tables.Job) -> Link:
    """A link to the result of a job. The job of a part of a prediction links to the whole prediction."""
    kind = KINDS[row.kind]
    return link(f"/v1/{kind.collection}/{row.parent if kind.for_parent else row.id}", "related")


def _links(row: tables.Job) -> tuple[Link, ...]:
    url = f"/v1/jobs/{row.id}"
    return (
        link(url, "self"),
        link(f"{url}/events", "monitor", "text/event-stream"),
        link(f"{url}/log", "log", "text/plain"),
        link(f"{url}/results", f"{OGC_REL}results"),
        result_of(row),
    )
