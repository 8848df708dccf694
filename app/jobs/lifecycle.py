"""The life of a job: one table of legal moves, and one guarded UPDATE that makes every move.

    accepted -> running -> successful | failed | dismissed
    running -> accepted      when its worker died, or gives the job back
    accepted -> dismissed    when it is dismissed before a worker has claimed it
    failed | dismissed -> accepted    when somebody asks for another try

Nothing else writes `status`. A worker names its attempt in each write. When another worker has claimed the job since,
these writes match no row, and `Lost` makes the worker stop.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

import structlog
from sqlalchemy import ColumnElement, Select, exists, func, literal, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from app.core import tenancy, tracing
from app.core.columns import now
from app.core.errors import Conflict, NotYet, ProblemDocument, document
from app.core.paging import Page, page
from app.core.preconditions import ANY, IfMatch
from app.core.rows import getter
from app.jobs import kinds, messages
from app.jobs.kinds import KINDS, kinds_in
from app.results import EndedAttempt, Outcome
from app.tables import Job, JobLog, Tenant
from ml.progress import Progress

# target status: the statuses from which a job may move to it
LEGAL: dict[str, tuple[str, ...]] = {
    "running": ("accepted",),
    "accepted": ("running", "failed", "dismissed"),
    "successful": ("running",),
    "failed": ("running",),
    "dismissed": ("accepted", "running"),
}
log_line = structlog.get_logger()
FINAL = ("successful", "failed", "dismissed")
UNSUCCESSFUL = ("failed", "dismissed")
MOST_ATTEMPTS = 20  # that a job remembers; its log has all
SILENT = "no heartbeat"  # how the message of a running job begins whose worker may be lost
_WORDS = {"worker-lost": "worker lost", "crashed": "crashed", "stalled": "stalled", "gpu-fault": "fault of a GPU"}
get = getter(Job, "job")
locked = getter(Job, "job", lock=True)


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


def create(
    session: Session, job_id: str, kind: str, *, parent: str | None = None, total: int = 0, needs_gpu: bool = False
) -> Job:
    """Insert a new accepted job. Once the row is committed, a worker will do the job, even if no message arrives.

    kind: a name in `KINDS`, otherwise `KeyError` is raised. parent: id of the job that waits for this one.
    total: number of steps, if it is known already. needs_gpu: Whether only workers with a GPU may claim it.
    """
    queue = KINDS[kind].queue
    message = "waiting for a worker with a GPU" if needs_gpu else "waiting for a worker"
    job = Job(id=job_id, kind=kind, status="accepted", parent=parent, total=total, message=message)
    job.needs_gpu, job.protocol, job.traceparent = needs_gpu, kinds.PROTOCOL, tracing.current()
    session.add(job)
    session.flush()
    # the only line of the log that has both the id of the request and the id of the job
    log_line.info("creating a job", job=job_id, kind=kind, queue=queue)
    return job


def by_id(session: Session, ids: Iterable[str]) -> dict[str, Job]:
    """The jobs with these ids, by their ids. Ids without a job are left out."""
    return {job.id: job for job in session.scalars(select(Job).where(Job.id.in_(list(ids))))}


def find(
    session: Session,
    *,
    status: str | None,
    kind: str | None,
    between: tuple[datetime | None, datetime | None] = (None, None),
    limit: int,
    token: str | None,
) -> Page[Job]:
    """A page of jobs, newest first.

    status: as clients see it; None for all. kind: None for all. between: when they were asked for; None is an open end.
    """
    wanted = select(Job)
    if status:
        wanted = wanted.where(Job.reported_status == status)
    if kind:
        wanted = wanted.where(Job.kind == kind)
    start, end = between
    if start:
        wanted = wanted.where(Job.created >= start)
    if end:
        wanted = wanted.where(Job.created <= end)
    return page(session, wanted, Job.created, Job.id, limit=limit, token=token)


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
    job = _move(session, job_id, "running", *_can_be_claimed(), **values)
    if job is None:
        return None
    _update_parent(session, job)
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
    return (*waits, Job.protocol <= kinds.PROTOCOL, ~waits_for_children())


def waits_for_children() -> ColumnElement[bool]:
    """The SQL condition that a job has child jobs that have not ended."""
    child = aliased(Job)
    return exists(select(child.id).where(child.parent == Job.id, child.status.not_in(FINAL)))


def children(session: Session, job_id: str) -> list[Job]:
    """The child jobs of a job, oldest first: trainings of an experiment, parts of a prediction, maps of a survey."""
    return list(session.scalars(select(Job).where(Job.parent == job_id).order_by(Job.created, Job.id)))


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
    job = _move(session, claim.job_id, "accepted", *_holds(claim), **values)
    if job is None:
        raise Lost(claim.job_id)
    _remember(job, "given-back", why)


def give_back(
    session: Session, claim: Claim, why: str, *, max_returns: int, pause_after: Callable[[int], float]
) -> str:
    """Give a job back that its worker cannot do now, for a pause in which younger jobs are done. This is no failure.

    A job that was given back too often fails, so that none waits for ever for what never comes.

    why: The reason, in words. max_returns: Number of returns after which the job fails.
    pause_after: The seconds before the job is tried again after its first, second, ... return.

    Returns what became of the job, in words. Raises `Lost`.
    """
    job = get(session, claim.job_id)
    returns = job.returns + 1
    if job.dismissal_requested:
        dismissed(session, claim)
        return "dismissed"
    if returns >= max_returns:
        detail = f"The job was given back {returns} times, the last time because {why}."
        error = document(500, "given-back-too-often", "The work could not be done", detail)
        _finish(session, claim, "failed", detail, message=detail, error=error, returns=returns)
        return f"failed: {detail}"
    again, pause = _again_after(pause_after(returns))
    detail = f"given back: {why} (return {returns} of {max_returns}); tried again {again}"
    moved = _move(session, claim.job_id, "accepted", *_holds(claim), returns=returns, message=detail, **pause)
    if moved is None:
        raise Lost(claim.job_id)
    _remember(moved, "given-back", why)
    return detail


def _again_after(pause_s: float) -> tuple[str, dict[str, Any]]:
    """When a job is tried again after a pause, in words, and the values of its columns."""
    if not pause_s:
        return "by the next free worker", {"pause_s": 0, "next_attempt": None, "stage": "waiting"}
    moment = now() + timedelta(seconds=pause_s)
    return f"at {moment:%H:%M:%S} UTC", {"pause_s": pause_s, "next_attempt": moment, "stage": "waiting"}


@dataclass(frozen=True)
class Death:
    """How the process of a job ended. cause: The predicate of a sentence. outcome: As in `EndedAttempt`."""

    cause: str = "sent no heartbeat any more"
    outcome: Literal["worker-lost", "crashed", "stalled", "gpu-fault"] = "worker-lost"


def give_back_or_fail(
    session: Session, job: Job, *, max_failures: int, pause_s: float = 0, death: Death = Death()
) -> str | None:
    """Move a job whose process died back to accepted; end it if it was dismissed or has failed too often.

    job: The running job as it was read. max_failures: Number of such deaths after which the job fails.
    pause_s: Seconds before it is tried again.

    Returns the new status; None when the job has changed since it was read, and nothing was done.
    """
    unchanged = (Job.status == "running", Job.attempt == job.attempt, Job.beat_seq == job.beat_seq)
    failures, moment = job.failures + 1, now()
    values: dict[str, Any] = {"finished": moment}
    if job.dismissal_requested:
        target, detail = "dismissed", "dismissed"
    elif failures < max_failures:
        target = "accepted"
        again, values = _again_after(pause_s)
        lost = f"{_WORDS[death.outcome]}: its process {death.cause} (failure {failures} of {max_failures})"
        detail = f"{lost}; tried again {again}"
    else:
        target = "failed"
        detail = f"The process of the job died {failures} times; the last one {death.cause}, in stage {job.stage!r}."
        code = "gpu-fault" if death.outcome == "gpu-fault" else "worker-lost"
        values["error"] = document(500, code, "The work could not be done", detail)
    moved = _move(session, job.id, target, *unchanged, failures=failures, message=detail, **values)
    if moved is None:
        return None
    _remember(moved, "dismissed" if target == "dismissed" else death.outcome, detail)
    session.add(JobLog(job_id=job.id, attempt=job.attempt, at=moment, text=detail))
    if target in FINAL:
        _update_parent(session, moved, done=Job.done + 1)
    return target


def suspect(session: Session, job: Job) -> None:
    """Tell clients that a running job has sent no heartbeat for some time. Its next one takes the message away."""
    unchanged = (Job.status == "running", Job.attempt == job.attempt, Job.beat_seq == job.beat_seq)
    message = f"{SILENT} since {job.updated:%H:%M:%S} UTC: its worker may be lost, and it is tried again then"
    session.execute(update(Job).where(Job.id == job.id, *unchanged).values(message=message, revision=Job.revision + 1))


def end_pause(session: Session, job: Job) -> None:
    """Let a job be claimed again, unless it has changed since it was read."""
    unchanged = (Job.status == "accepted", Job.attempt == job.attempt, Job.pause_s == job.pause_s)
    session.execute(update(Job).where(Job.id == job.id, *unchanged).values(pause_s=0, revision=Job.revision + 1))


def retry(session: Session, job_id: str) -> list[Job]:
    """Take up a job again that failed or was dismissed, with its child jobs that did.

    Its results so far, its log and the number of its attempts stay. Returns the jobs that can be claimed now.

    Raises `NotFound`, or `Conflict` for a job that is in another status.
    """
    get(session, job_id)
    reopened = [again for child in children(session, job_id) if (again := _reopen(session, child.id))]
    job = _reopen(session, job_id)
    if job is None:
        session.expire_all()  # it may have been deleted meanwhile
        raise _cannot_be_retried(locked(session, job_id))
    if every := children(session, job_id):
        job.done, job.total = sum(child.status == "successful" for child in every), len(every) + 1
    if job.parent and not _update_parent(session, job, done=Job.done - 1):
        raise _ended_without(get(session, job.parent), job)
    session.flush()
    return reopened or [job]


def _reopen(session: Session, job_id: str) -> Job | None:
    """Accept a job again that has failed or was dismissed. Returns None if it has another status."""
    text = "tried again on request; waiting for a worker"
    values: dict[str, Any] = {"failures": 0, "returns": 0, "dismissal_requested": False, "error": None}
    values |= {"finished": None, "done": 0, "stage": ""}
    job = _move(session, job_id, "accepted", Job.status.in_(UNSUCCESSFUL), message=text, **values)
    if job is not None:
        session.add(JobLog(job_id=job_id, attempt=job.attempt, text="tried again on request"))
    return job


def _cannot_be_retried(job: Job) -> Conflict:
    if job.status == "successful":
        what = "has succeeded: what it made exists. POST the request again if you want it made once more"
        return Conflict("job-successful", f"Job {job.id!r} {what}.")
    if job.dismissal_requested:
        return NotYet("job-stopping", f"Job {job.id!r} was dismissed and is still stopping: try again in a moment.")
    what = "wait for its end, or dismiss it first"
    return Conflict("job-not-ended", f"Job {job.id!r} has not ended: it is {job.reported_status}; {what}.")


def _ended_without(parent: Job, job: Job) -> Conflict:
    hint = f"POST /v1/jobs/{parent.id}/retry takes up both"
    if parent.status not in UNSUCCESSFUL:
        hint = f"ask for a new {parent.kind}" if parent.status == "successful" else "wait for its end"
    what = f"Job {job.id!r} belongs to {parent.kind} {parent.id!r}, which goes on without it ({parent.reported_status})"
    return Conflict("parent-ended", f"{what}: {hint}.")


def dismiss(session: Session, job_id: str, if_match: IfMatch = ANY) -> Job:
    """End a waiting job at once, or ask the worker of a running one to stop. Dismissing twice is harmless.

    The trainings of an experiment, the parts of a prediction and the maps of a survey are dismissed with it.

    Raises `Conflict` when the job has already succeeded or failed, `NotFound` when it does not exist,
    `PreconditionFailed` when it has changed.
    """
    if if_match != ANY:
        if_match.check(locked(session, job_id).tag)
    # the child jobs first, then their parent: ending a child job locks the two in this order, too
    for child in children(session, job_id):
        if child.status not in FINAL:
            _dismiss(session, child.id)
    job = _dismiss(session, job_id)
    if job is None:
        job = get(session, job_id)
        if job.status in ("successful", "failed"):
            raise Conflict("job-ended", f"Job {job_id!r} has already ended: it is {job.status}.")
        return job
    _update_parent(session, job, done=Job.done + 1)
    return job


def _dismiss(session: Session, job_id: str) -> Job | None:
    """End a waiting job and return it; otherwise ask the worker of a running job to stop and return None."""
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


def release_children(session: Session, job_ids: Sequence[str]) -> None:
    """Let the child jobs of jobs that are deleted stand for themselves: their results stay."""
    session.execute(update(Job).where(Job.parent.in_(job_ids)).values(parent=None))


def log(session: Session, claim: Claim, lines: list[tuple[datetime, str]]) -> None:
    """Append lines to the log of a job. lines: the time and the text of each."""
    session.add_all(JobLog(job_id=claim.job_id, attempt=claim.attempt, at=at, text=text) for at, text in lines)


def read_log(session: Session, job_id: str) -> list[JobLog]:
    """The log of a job, oldest line first."""
    return list(session.scalars(select(JobLog).where(JobLog.job_id == job_id).order_by(JobLog.id)))


def _holds(claim: Claim) -> tuple[ColumnElement[bool], ...]:
    """The SQL conditions that `claim` is still valid."""
    return (Job.id == claim.job_id, Job.status == "running", Job.attempt == claim.attempt)


def _finish(
    session: Session, claim: Claim, target: Literal["successful", "failed", "dismissed"], detail: str, **values: Any
) -> Job:
    job = _move(session, claim.job_id, target, *_holds(claim), finished=now(), **values)
    if job is None:
        raise Lost(claim.job_id)
    _remember(job, target, detail)
    _update_parent(session, job, done=Job.done + 1)
    return job


def _remember(job: Job, outcome: Outcome, detail: str) -> None:
    """Record what became of the last attempt at a job, whose row this transaction has just changed."""
    ended = EndedAttempt(attempt=job.attempt, started=job.started, ended=now(), outcome=outcome, detail=detail)
    job.attempts = [*job.attempts, ended][-MOST_ATTEMPTS:]


def _move(session: Session, job_id: str, target: str, *guards: ColumnElement[bool], **values: Any) -> Job | None:
    """Move a job to the status `target` and return it; None when the guards match no row.

    This is the only UPDATE that writes `status`. The same transaction writes the messages for webhooks.
    """
    statement = (
        update(Job)
        .where(Job.id == job_id, Job.status.in_(LEGAL[target]), *guards)
        .values(
            status=target, beat_seq=Job.beat_seq + 1, revision=Job.revision + 1, updated=now(), eta_s=None, **values
        )
        .returning(Job)
        .execution_options(populate_existing=True)
    )
    job = session.execute(statement).scalar_one_or_none()
    if job is not None and target in FINAL:
        messages.ended(session, job)
    return job


def _update_parent(session: Session, job: Job, **values: Any) -> bool:
    """Record the progress of a child job in its parent, which no worker holds while its child jobs are running.

    Returns whether the parent waits for its child jobs.
    """
    if not job.parent:
        return False
    parent = update(Job).where(Job.id == job.parent, Job.status == "accepted")
    new = {"stage": "runs", "updated": now(), "revision": Job.revision + 1} | values
    return session.execute(parent.values(**new).returning(Job.id)).first() is not None
