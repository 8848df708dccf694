"""Jobs, their logs, and the workers that do them."""

from datetime import datetime

from sqlalchemy import BigInteger, Computed, ForeignKey, Index, String, Text, false, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core import tracing
from app.core.columns import Base, Owned, OwnedId, keep_as_json, now
from app.core.errors import ProblemDocument
from app.core.preconditions import tag_of
from app.results import EndedAttempt

keep_as_json(list[str], list[EndedAttempt], ProblemDocument)

_HAS_PARENT = text("parent IS NOT NULL")  # an index of these rows is small: most jobs have no parent
_CAN_WAIT = text("status = 'accepted' AND pause_s = 0")  # an index in which a claim finds the oldest job of a tenant
# A job with child jobs is reported as running as soon as one of them was claimed, although no worker can claim it
# before all of them have ended.
_REPORTED = "CASE WHEN status = 'accepted' AND stage = 'runs' THEN 'running' ELSE status END"


class Job(Owned, Base):
    """A job and its state. `app.jobs.lifecycle` has the legal moves of the status.

    needs_gpu: Whether only workers with a GPU may claim it.
    protocol: `app.jobs.kinds.PROTOCOL` of whoever created the job. Older workers leave it to newer ones.
    parent: Id of the job of the experiment to which a training belongs, of the prediction to which a part belongs, or
        of the survey that asked for a prediction. That job cannot be claimed before all its child jobs have ended.
    reported_status: The status that clients see, which the database computes from `status` and `stage`. All documents,
        filters and counts use it.
    attempt: How often the job was claimed; the fencing token of each write of a worker.
    beat_seq: Grows with each heartbeat and each move.
    failures: How often the process of the job died. returns: How often workers gave it back that could not do it.
    pause_s: Seconds for which a job waits that is tried again; 0 when it can be claimed. A sweep counts them by its own
        clock, so that a clock that is set back delays nothing. next_attempt: When the pause ends, as clients are told.
    attempts: The last attempts that have ended.
    traceparent: The span of a trace that asked for the job, as the recommendation Trace Context of the W3C writes it.
    revision: Grows with each change that clients can see.
    """

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(OwnedId(100), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    protocol: Mapped[int] = mapped_column(default=1, server_default="1")
    needs_gpu: Mapped[bool] = mapped_column(default=False, server_default=false())
    parent: Mapped[str | None] = mapped_column(OwnedId(100))
    status: Mapped[str] = mapped_column(String(12), default="accepted")
    reported_status: Mapped[str] = mapped_column(String(12), Computed(_REPORTED, persisted=True))
    attempt: Mapped[int] = mapped_column(default=0)
    beat_seq: Mapped[int] = mapped_column(BigInteger, default=0)
    failures: Mapped[int] = mapped_column(default=0)
    returns: Mapped[int] = mapped_column(default=0, server_default="0")
    pause_s: Mapped[float] = mapped_column(default=0.0, server_default="0")
    next_attempt: Mapped[datetime | None]
    attempts: Mapped[list[EndedAttempt]] = mapped_column(default=list, server_default="[]")
    revision: Mapped[int] = mapped_column(BigInteger, default=1)
    dismissal_requested: Mapped[bool] = mapped_column(default=False)
    stage: Mapped[str] = mapped_column(String(40), default="")
    done: Mapped[int] = mapped_column(BigInteger, default=0)
    total: Mapped[int] = mapped_column(BigInteger, default=0)
    eta_s: Mapped[float | None]
    message: Mapped[str] = mapped_column(Text, default="")
    error: Mapped[ProblemDocument | None]
    created: Mapped[datetime] = mapped_column(default=now)
    started: Mapped[datetime | None]
    finished: Mapped[datetime | None]
    updated: Mapped[datetime] = mapped_column(default=now)
    traceparent: Mapped[str | None] = mapped_column(String(tracing.LENGTH))

    __table_args__ = (
        Index("ix_jobs_created", "tenant", "created", "id"),
        Index("ix_jobs_kind", "tenant", "kind", "created", "id"),
        Index("ix_jobs_status", "status", "created", "id"),
        Index("ix_jobs_status_kind", "status", "kind", "created", "id"),
        Index("ix_jobs_reported", "tenant", "reported_status", "created", "id"),
        Index("ix_jobs_reported_kind", "tenant", "reported_status", "kind", "created", "id"),
        Index(
            *("ix_jobs_waiting", "tenant", "created", "id", "kind"), postgresql_where=_CAN_WAIT, sqlite_where=_CAN_WAIT
        ),
        Index("ix_jobs_parent", "parent", postgresql_where=_HAS_PARENT, sqlite_where=_HAS_PARENT),
    )

    @property
    def tag(self) -> str:
        """The ETag, also of a prediction, which changes with its job."""
        return tag_of(self.created, self.revision)


class JobLog(Owned, Base):
    """One line of the log of a job."""

    __tablename__ = "job_log"

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    attempt: Mapped[int]
    at: Mapped[datetime] = mapped_column(default=now)
    text: Mapped[str] = mapped_column(Text)


class Worker(Base):
    """A worker process that has reported. Only /readyz and the doctor use this; no decision about a job depends on it.

    seen: When it reported last, in UTC. trouble: Why it claims no jobs; None if it does.
    """

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    queues: Mapped[list[str]]
    seen: Mapped[datetime] = mapped_column(default=now)
    trouble: Mapped[str | None] = mapped_column(Text)
