"""The life of a job: one table of legal moves, one guarded UPDATE.

    accepted -> running -> successful | failed | dismissed,  and  running -> accepted  when its worker died

Nothing else writes `status`. A worker names its attempt in each write: once the job was claimed anew, the writes of
the worker that was given up match no row, and `Lost` tells it to stop.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import ColumnElement, exists, select, update
from sqlalchemy.orm import Session, aliased

from app.core.columns import now
from app.core.errors import Conflict, ProblemDocument, document
from app.core.paging import Page, page
from app.core.rows import getter
from app.jobs.kinds import KINDS, kinds_in
from app.tables import Job, JobLog
from ml.progress import Progress

# target: where a job may come from
LEGAL: dict[str, tuple[str, ...]] = {
    "running": ("accepted",),
    "accepted": ("running",),
    "successful": ("running",),
    "failed": ("running",),
    "dismissed": ("accepted", "running"),
}
log_line = structlog.get_logger()
CANDIDATES = 8  # how many waiting jobs to try: others may be taking the oldest ones in this moment
FINAL = ("successful", "failed", "dismissed")
get = getter(Job, "job")


class Lost(Exception):
    """The job belongs to somebody else by now: stop, and publish nothing."""


@dataclass(frozen=True)
class Claim:
    """The right to work on a job, until somebody claims it anew."""

    job_id: str
    kind: str
    attempt: int
    parent: str | None = None


def create(session: Session, job_id: str, kind: str, *, parent: str | None = None, total: int = 0) -> Job:
    """A new accepted job. The row is the outbox: committed means that it will be worked on.

    kind: a name in `KINDS`, else `KeyError`.
    """
    queue = KINDS[kind].queue
    job = Job(id=job_id, kind=kind, status="accepted", parent=parent, total=total, message="waiting for a worker")
    session.add(job)
    session.flush()
    # the one line that has the request's id and the job's
    log_line.info("creating a job", job=job_id, kind=kind, queue=queue)
    return job


def by_id(session: Session, ids: Iterable[str]) -> dict[str, Job]:
    """These jobs, by their ids."""
    return {job.id: job for job in session.scalars(select(Job).where(Job.id.in_(list(ids))))}


def find(session: Session, *, status: str | None, kind: str | None, limit: int, token: str | None) -> Page[Job]:
    """Jobs of a status and a kind, or of any, newest first."""
    wanted = select(Job)
    if status:
        wanted = wanted.where(Job.reported_status == status)
    if kind:
        wanted = wanted.where(Job.kind == kind)
    return page(session, wanted, Job.created, Job.id, limit=limit, token=token)


def claim(session: Session, job_id: str) -> Claim | None:
    """Take an accepted job; None when it is not to be had: claimed, ended or dismissed, waiting, or never there."""
    values = {"attempt": Job.attempt + 1, "started": now(), "message": "", "stage": "starting"}
    job = _move(session, job_id, "running", ~waits_for_runs(), **values)
    if job is None:
        return None
    _tell_parent(session, job)
    return Claim(job.id, job.kind, job.attempt, job.parent)


def claim_waiting(session: Session, queue: str) -> Claim | None:
    """Take the oldest accepted job of a queue; None when none waits."""
    return next((taken for job_id in waiting(session, queue) if (taken := claim(session, job_id))), None)


def waiting(session: Session, queue: str) -> Sequence[str]:
    """The ids of the oldest accepted jobs of a queue that could be claimed, `CANDIDATES` at most."""
    accepted = select(Job.id).where(Job.status == "accepted", Job.kind.in_(kinds_in(queue)), ~waits_for_runs())
    return session.scalars(accepted.order_by(Job.created, Job.id).limit(CANDIDATES)).all()


def waits_for_runs() -> ColumnElement[bool]:
    """Whether a job has runs of its own that have not ended."""
    run = aliased(Job)
    return exists(select(run.id).where(run.parent == Job.id, run.status.not_in(FINAL)))


def runs(session: Session, job_id: str) -> list[Job]:
    """The jobs whose parent this is, in the order in which they were made."""
    return list(session.scalars(select(Job).where(Job.parent == job_id).order_by(Job.created, Job.id)))


def beat(session: Session, claim: Claim, progress: Progress | None, eta_s: float | None) -> bool:
    """Show that the worker lives and how far it is; True when the job shall be dismissed.

    Raises `Lost` when the job is no longer ours.
    """
    values: dict[str, Any] = {"beat_seq": Job.beat_seq + 1, "updated": now()}
    if progress is not None:
        values |= {
            "stage": progress.stage,
            "done": progress.done,
            "total": progress.total,
            "message": progress.message,
            "eta_s": eta_s,
            "revision": Job.revision + 1,
        }
    statement = update(Job).where(*_ours(claim)).values(**values).returning(Job.dismissal_requested)
    requested = session.execute(statement).scalar_one_or_none()
    if requested is None:
        raise Lost(claim.job_id)
    return requested


def succeed(session: Session, claim: Claim) -> None:
    """The commit point of a job: everything that the work made is recorded in this transaction, or none of it."""
    job = _finish(session, claim, "successful", message="done")
    job.done = job.total = max(job.total, 1)
    job.eta_s = 0.0


def fail(session: Session, claim: Claim, error: ProblemDocument) -> None:
    """End a job that cannot be done; `error` is a problem document."""
    _finish(session, claim, "failed", message=error.detail, error=error)


def dismissed(session: Session, claim: Claim) -> None:
    """End a job whose dismissal its worker has obeyed."""
    _finish(session, claim, "dismissed", message="dismissed")


def release(session: Session, claim: Claim) -> None:
    """Give a job back unfinished, at no fault of its own: its worker is being stopped."""
    if (
        _move(session, claim.job_id, "accepted", *_ours(claim), message="its worker stopped; waiting for another")
        is None
    ):
        raise Lost(claim.job_id)


def give_back_or_fail(
    session: Session, job: Job, *, max_failures: int, cause: str = "was not heard of any more"
) -> str | None:
    """Its worker died: back to accepted, or failed for good. `job` is what was seen; None when it has moved since.

    cause: how the process that did the job ended.
    """
    unmoved = (Job.attempt == job.attempt, Job.beat_seq == job.beat_seq)
    failures = job.failures + 1
    if job.dismissal_requested:
        target, values = "dismissed", {"message": "dismissed", "finished": now()}
    elif failures < max_failures:
        target, values = "accepted", {"message": f"its process {cause} (time {failures}); waiting for another"}
    else:
        detail = f"Its process died {failures} times; the last one {cause}, in stage {job.stage!r}."
        error = document(500, "worker-lost", "The work could not be done", detail)
        target, values = "failed", {"message": detail, "error": error, "finished": now()}
    moved = _move(session, job.id, target, *unmoved, failures=failures, **values)
    if moved is not None and target in FINAL:
        _tell_parent(session, moved, done=Job.done + 1)
    return None if moved is None else target


def dismiss(session: Session, job_id: str) -> Job:
    """End a waiting job at once; ask the worker of a running one to stop. Dismissing twice is harmless.

    The runs of an experiment, and the parts of a prediction, are dismissed with it.
    """
    # all runs first, then their parent: whoever ends a run locks the two in this order, too
    for run in runs(session, job_id):
        if run.status not in FINAL:
            _dismiss(session, run.id)
    job = _dismiss(session, job_id)
    if job is None:
        job = get(session, job_id)
        if job.status in ("successful", "failed"):
            raise Conflict("job-ended", f"Job {job_id!r} has already ended: it is {job.status}.")
        return job
    _tell_parent(session, job, done=Job.done + 1)
    return job


def _dismiss(session: Session, job_id: str) -> Job | None:
    """End a waiting job and return it; ask the worker of a running one to stop."""
    job = _move(session, job_id, "dismissed", Job.status == "accepted", message="dismissed", finished=now())
    if job is not None:
        return job
    request = (
        update(Job)
        .where(Job.id == job_id, Job.status == "running")
        .values(dismissal_requested=True, message="being dismissed", updated=now(), revision=Job.revision + 1)
    )
    session.execute(request)
    return None


def log(session: Session, claim: Claim, lines: list[tuple[datetime, str]]) -> None:
    """Append lines to the job's own log."""
    session.add_all(JobLog(job_id=claim.job_id, attempt=claim.attempt, at=at, text=text) for at, text in lines)


def read_log(session: Session, job_id: str) -> list[JobLog]:
    """The job's own log, oldest line first."""
    return list(session.scalars(select(JobLog).where(JobLog.job_id == job_id).order_by(JobLog.id)))


def _ours(claim: Claim) -> tuple[ColumnElement[bool], ...]:
    return (Job.id == claim.job_id, Job.status == "running", Job.attempt == claim.attempt)


def _finish(session: Session, claim: Claim, target: str, **values: Any) -> Job:
    job = _move(session, claim.job_id, target, *_ours(claim), finished=now(), **values)
    if job is None:
        raise Lost(claim.job_id)
    _tell_parent(session, job, done=Job.done + 1)
    return job


def _move(session: Session, job_id: str, target: str, *guards: ColumnElement[bool], **values: Any) -> Job | None:
    """The one UPDATE that writes `status`; None when the guards match no row."""
    statement = (
        update(Job)
        .where(Job.id == job_id, Job.status.in_(LEGAL[target]), *guards)
        .values(
            status=target, beat_seq=Job.beat_seq + 1, revision=Job.revision + 1, updated=now(), eta_s=None, **values
        )
        .returning(Job)
        .execution_options(populate_existing=True)
    )
    return session.execute(statement).scalar_one_or_none()


def _tell_parent(session: Session, job: Job, **values: Any) -> None:
    """Show in an experiment or a prediction in parts, which no worker holds meanwhile, how its runs go on."""
    if job.parent:
        told = update(Job).where(Job.id == job.parent, Job.status == "accepted")
        session.execute(told.values(stage="runs", updated=now(), revision=Job.revision + 1, **values))
