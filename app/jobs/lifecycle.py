"""The life of a job: one table of legal moves, and one guarded UPDATE that makes every move.

    accepted -> running -> successful | failed | dismissed
    running -> accepted      when its worker died, or gives the job back
    accepted -> dismissed    when it is dismissed before a worker has claimed it
    failed | dismissed -> accepted    when somebody asks for another try

Nothing else writes `status`. What workers do with jobs is in `claims.py`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import structlog
from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from app.core import tracing
from app.core.columns import now
from app.core.errors import Conflict, NotYet, document
from app.core.paging import Page, page
from app.core.preconditions import ANY, IfMatch
from app.core.rows import getter
from app.jobs import kinds, messages
from app.jobs.kinds import KINDS
from app.results import EndedAttempt, Outcome
from app.tables import Job, JobLog

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


def children(session: Session, job_id: str) -> list[Job]:
    """The child jobs of a job, oldest first: trainings of an experiment, parts of a prediction, maps of a survey."""
    return list(session.scalars(select(Job).where(Job.parent == job_id).order_by(Job.created, Job.id)))


def again_after(pause_s: float) -> tuple[str, dict[str, Any]]:
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
        again, values = again_after(pause_s)
        lost = f"{_WORDS[death.outcome]}: its process {death.cause} (failure {failures} of {max_failures})"
        detail = f"{lost}; tried again {again}"
    else:
        target = "failed"
        detail = f"The process of the job died {failures} times; the last one {death.cause}, in stage {job.stage!r}."
        code = "gpu-fault" if death.outcome == "gpu-fault" else "worker-lost"
        values["error"] = document(500, code, "The work could not be done", detail)
    moved = move(session, job.id, target, *unchanged, failures=failures, message=detail, **values)
    if moved is None:
        return None
    remember(moved, "dismissed" if target == "dismissed" else death.outcome, detail)
    session.add(JobLog(job_id=job.id, attempt=job.attempt, at=moment, text=detail))
    if target in FINAL:
        update_parent(session, moved, done=Job.done + 1)
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
    if job.parent and not update_parent(session, job, done=Job.done - 1):
        raise _ended_without(get(session, job.parent), job)
    session.flush()
    return reopened or [job]


def _reopen(session: Session, job_id: str) -> Job | None:
    """Accept a job again that has failed or was dismissed. Returns None if it has another status."""
    text = "tried again on request; waiting for a worker"
    values: dict[str, Any] = {"failures": 0, "returns": 0, "dismissal_requested": False, "error": None}
    values |= {"finished": None, "done": 0, "stage": ""}
    job = move(session, job_id, "accepted", Job.status.in_(UNSUCCESSFUL), message=text, **values)
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
    update_parent(session, job, done=Job.done + 1)
    return job


def _dismiss(session: Session, job_id: str) -> Job | None:
    """End a waiting job and return it; otherwise ask the worker of a running job to stop and return None."""
    job = move(session, job_id, "dismissed", Job.status == "accepted", message="dismissed", finished=now())
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


def read_log(session: Session, job_id: str) -> list[JobLog]:
    """The log of a job, oldest line first."""
    return list(session.scalars(select(JobLog).where(JobLog.job_id == job_id).order_by(JobLog.id)))


def remember(job: Job, outcome: Outcome, detail: str) -> None:
    """Record what became of the last attempt at a job, whose row this transaction has just changed."""
    ended = EndedAttempt(attempt=job.attempt, started=job.started, ended=now(), outcome=outcome, detail=detail)
    job.attempts = [*job.attempts, ended][-MOST_ATTEMPTS:]


def move(session: Session, job_id: str, target: str, *guards: ColumnElement[bool], **values: Any) -> Job | None:
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


def update_parent(session: Session, job: Job, **values: Any) -> bool:
    """Record the progress of a child job in its parent, which no worker holds while its child jobs are running.

    Returns whether the parent waits for its child jobs.
    """
    if not job.parent:
        return False
    parent = update(Job).where(Job.id == job.parent, Job.status == "accepted")
    new = {"stage": "runs", "updated": now(), "revision": Job.revision + 1} | values
    return session.execute(parent.values(**new).returning(Job.id)).first() is not None
