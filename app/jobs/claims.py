"""What a worker does with jobs: it claims one, sends its heartbeats, and ends it or gives it back.

A worker names its attempt in each write. When another worker has claimed the job since, these writes match no row,
and `Lost` makes the worker stop.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, exists, func, literal, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from app.core import tenancy
from app.core.columns import now
from app.core.errors import ProblemDocument, document
from app.jobs import kinds, lifecycle
from app.jobs.kinds import kinds_in
from app.tables import Job, JobLog, Tenant
from ml.progress import Progress


class Lost(Exception):
    """The claim is no longer valid, so its worker must stop and publish nothing."""


@dataclass(frozen=True)
class Claim:
    """The right to work on a job, until another worker claims it.

    attempt: how often the job was claimed, this time included. parent: id of the parent job, if it has one.
    tenant: To which the job belongs. traceparent: The span of a trace that asked for the job, if one did.
    """

    job_id: str
    kind: str
    attempt: int
    parent: str | None = None
    tenant: str = tenancy.LOCAL
    traceparent: str | None = None

    def in_its_scope(self) -> "Claim":
        """The claim with plain ids, for the scope of the tenant, which must be the current one."""
        parent = self.parent and tenancy.plain(self.parent)
        return replace(self, job_id=tenancy.plain(self.job_id), parent=parent)


def claim(session: Session, job_id: str) -> Claim | None:
    """Claim an accepted job.

    Returns None when it cannot be claimed: it is running, has ended, pauses, waits for its child jobs, or is unknown.
    """
    session.execute(select(Job.id).where(Job.id == job_id).with_for_update())
    return _claim_locked(session, job_id)


def _claim_locked(session: Session, job_id: str) -> Claim | None:
    """Claim a job whose row this transaction has locked.

    On PostgreSQL the UPDATE then sees whether a child job was taken up again by a transaction that had this lock.
    """
    values = {"attempt": Job.attempt + 1, "started": now(), "message": "", "stage": "starting", "next_attempt": None}
    job = lifecycle.move(session, job_id, "running", *_can_be_claimed(), **values)
    if job is None:
        return None
    lifecycle.update_parent(session, job)
    return Claim(job.id, job.kind, job.attempt, job.parent, job.tenant, job.traceparent)


def claim_waiting(session: Session, queue: str, *, gpu: bool = True) -> Claim | None:
    """Claim the oldest waiting job of the tenant that has the fewest running jobs in a queue, among those that wait.

    So the many jobs of one tenant do not keep the few of another waiting; between equals chance decides. On PostgreSQL
    a job is passed over that another worker is claiming at this moment, so that a fleet does not stand in line for it.

    gpu: Whether the worker has a GPU; without one it claims no job that needs one.

    Returns None when no job waits there.
    """
    for tenant in _turns(session, queue, gpu):
        oldest = _oldest(queue, gpu, tenant).with_for_update(skip_locked=True, of=Job)
        while job_id := session.scalar(oldest):
            if claimed := _claim_locked(session, job_id):
                return claimed
    return None


def any_waiting(session: Session, queue: str, *, gpu: bool = True) -> bool:
    """Whether a worker, which has a GPU or not, can claim a job of a queue."""
    return bool(session.scalar(select(exists(_claimable(queue, gpu)))))


def _turns(session: Session, queue: str, gpu: bool) -> Sequence[str]:
    """The tenants with jobs that can be claimed in a queue; whoever has the fewest running jobs there comes first."""
    running = select(Job.tenant, func.count().label("jobs"))
    running = running.where(Job.kind.in_(kinds_in(queue)), Job.status == "running")
    busy = running.group_by(Job.tenant).subquery()
    oldest = (
        _oldest(queue, gpu, Tenant.id).correlate(Tenant).scalar_subquery()
    )  # quicker than EXISTS: it is read in order
    turns = select(Tenant.id).outerjoin(busy, busy.c.tenant == Tenant.id).where(oldest.is_not(None))
    # chance, because a worker that is alone finds no running job of anybody, and would always serve the same tenant
    return session.scalars(turns.order_by(func.coalesce(busy.c.jobs, 0), func.random())).all()


def _oldest(queue: str, gpu: bool, tenant: str | InstrumentedAttribute[str]) -> Select[str]:
    return _claimable(queue, gpu).where(Job.tenant == tenant).order_by(Job.created, Job.id).limit(1)


def _claimable(queue: str, gpu: bool) -> Select[str]:
    claimable = select(Job.id).where(Job.kind.in_(kinds_in(queue)), *_can_be_claimed())
    return claimable if gpu else claimable.where(~Job.needs_gpu)


def oldest_waiting(session: Session, kind: str, limit: int) -> Sequence[Job]:
    """The oldest jobs of a kind that can be claimed, `limit` at most."""
    wanted = select(Job).where(Job.kind == kind, *_can_be_claimed())
    return session.scalars(wanted.order_by(Job.created).limit(limit)).all()


def _can_be_claimed() -> tuple[ColumnElement[bool], ...]:
    # as literals: with parameters, PostgreSQL could not know that the index `ix_jobs_waiting` has all of these jobs
    waits = (Job.status == literal("accepted", literal_execute=True), Job.pause_s == literal(0, literal_execute=True))
    return (*waits, Job.protocol <= kinds.PROTOCOL, ~_waits_for_children())


def _waits_for_children() -> ColumnElement[bool]:
    """The SQL condition that a job has child jobs that have not ended."""
    child = aliased(Job)
    return exists(select(child.id).where(child.parent == Job.id, child.status.not_in(lifecycle.FINAL)))


def beat(session: Session, claim: Claim, progress: Progress | None, eta_s: float | None) -> bool:
    """Record a heartbeat of the worker and its progress. Returns True when the worker must dismiss the job.

    progress: None leaves the recorded progress as it is. eta_s: estimated seconds until the end of the stage.

    Raises `Lost` when the claim is no longer valid.
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
    statement = update(Job).where(*_holds(claim)).values(**values).returning(Job.dismissal_requested)
    requested = session.execute(statement).scalar_one_or_none()
    if requested is None:
        raise Lost(claim.job_id)
    return requested


def succeed(session: Session, claim: Claim) -> None:
    """End a job that succeeded. The caller records all results in the same transaction.

    Raises `Lost` when the claim is no longer valid.
    """
    job = _finish(session, claim, "successful", "", message="done")
    job.done = job.total = max(job.total, 1)
    job.eta_s = 0.0


def fail(session: Session, claim: Claim, error: ProblemDocument) -> None:
    """End a job that cannot be done, and keep `error` as the reason. Raises `Lost`."""
    _finish(session, claim, "failed", error.detail, message=error.detail, error=error)


def dismissed(session: Session, claim: Claim) -> None:
    """End a dismissed job whose worker has stopped. Raises `Lost`."""
    _finish(session, claim, "dismissed", "", message="dismissed")


def release(session: Session, claim: Claim, why: str = "its worker stopped") -> None:
    """Give an unfinished job back because its worker ends. It can be claimed at once. Raises `Lost`.

    why: The reason, in words.
    """
    values = {"message": f"{why}; waiting for another", "stage": "waiting"}
    job = lifecycle.move(session, claim.job_id, "accepted", *_holds(claim), **values)
    if job is None:
        raise Lost(claim.job_id)
    lifecycle.remember(job, "given-back", why)


def give_back(
    session: Session, claim: Claim, why: str, *, max_returns: int, pause_after: Callable[[int], float]
) -> str:
    """Give a job back that its worker cannot do now, for a pause in which younger jobs are done. This is no failure.

    A job that was given back too often fails, so that none waits for ever for what never comes.

    why: The reason, in words. max_returns: Number of returns after which the job fails.
    pause_after: The seconds before the job is tried again after its first, second, ... return.

    Returns what became of the job, in words. Raises `Lost`.
    """
    job = lifecycle.get(session, claim.job_id)
    returns = job.returns + 1
    if job.dismissal_requested:
        dismissed(session, claim)
        return "dismissed"
    if returns >= max_returns:
        detail = f"The job was given back {returns} times, the last time because {why}."
        error = document(500, "given-back-too-often", "The work could not be done", detail)
        _finish(session, claim, "failed", detail, message=detail, error=error, returns=returns)
        return f"failed: {detail}"
    again, pause = lifecycle.again_after(pause_after(returns))
    detail = f"given back: {why} (return {returns} of {max_returns}); tried again {again}"
    moved = lifecycle.move(session, claim.job_id, "accepted", *_holds(claim), returns=returns, message=detail, **pause)
    if moved is None:
        raise Lost(claim.job_id)
    lifecycle.remember(moved, "given-back", why)
    return detail


def log(session: Session, claim: Claim, lines: list[tuple[datetime, str]]) -> None:
    """Append lines to the log of a job. lines: the time and the text of each."""
    session.add_all(JobLog(job_id=claim.job_id, attempt=claim.attempt, at=at, text=text) for at, text in lines)


def _holds(claim: Claim) -> tuple[ColumnElement[bool], ...]:
    """The SQL conditions that `claim` is still valid."""
    return (Job.id == claim.job_id, Job.status == "running", Job.attempt == claim.attempt)


def _finish(
    session: Session, claim: Claim, target: Literal["successful", "failed", "dismissed"], detail: str, **values: Any
) -> Job:
    job = lifecycle.move(session, claim.job_id, target, *_holds(claim), finished=now(), **values)
    if job is None:
        raise Lost(claim.job_id)
    lifecycle.remember(job, target, detail)
    lifecycle.update_parent(session, job, done=Job.done + 1)
    return job
