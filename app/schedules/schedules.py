"""Schedules: retraining at the times of a cron expression in a time zone."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.core import acting
from app.core.columns import now
from app.core.errors import Conflict, NotFound, Problem, refuse_any
from app.core.idempotency import IdempotentRequest, forget
from app.core.names import new_id
from app.core.paging import Page, page
from app.core.preconditions import ANY, IfMatch
from app.core.rows import getter
from app.data import datasets
from app.learning import trainings
from app.requests.learning import TrainingRequest
from app.requests.schedules import PromoteRequest, SchedulePatch, ScheduleRequest
from app.schedules import cron, schedule_runs
from app.services import Services
from app.tables import Schedule, ScheduleRun
from ml.faults import Fault

Clock = Callable[[], datetime]
get = getter(Schedule, "schedule")
locked = getter(Schedule, "schedule", lock=True)


def create(session: Session, request: ScheduleRequest, once: IdempotentRequest, clock: Clock = now) -> Schedule:
    """Create a schedule. Raises `Conflict` when its name is taken, `Invalid` with all faults when it is wrong."""
    if earlier := once.earlier(session, f"schedule/{request.name}"):
        return get(session, earlier)
    if session.get(Schedule, request.name):
        raise _name_taken(request.name)
    _check(session, request.cron, request.timezone, request.training, request.promote)
    row = Schedule(
        id=request.name,
        cron=request.cron,
        timezone=request.timezone,
        training=request.training,
        promote=request.promote,
        enabled=request.enabled,
        always=request.always,
        title=request.title,
        due=cron.after(request.cron, request.timezone, clock()) if request.enabled else None,
    )
    session.add(row)
    try:
        session.flush()
    except IntegrityError as error:  # another request has created one of this name at the same time
        raise _name_taken(request.name) from error
    return row


def find(session: Session, *, limit: int, token: str | None) -> Page[Schedule]:
    """A page of all schedules, newest first."""
    return page(session, select(Schedule), Schedule.created, Schedule.id, limit=limit, token=token)


def patch(session: Session, id_: str, change: SchedulePatch, if_match: IfMatch = ANY, clock: Clock = now) -> Schedule:
    """Change the fields that `change` has. Times that were due while the schedule was disabled are not made up for.

    Raises `NotFound`, `PreconditionFailed` if the schedule has changed, `Invalid` with all faults, or `Forbidden` if
    somebody takes the question for approval away who may not approve.
    """
    row = _locked(session, id_, if_match)
    changed: dict[str, Any] = {
        name: value
        for name, value in change
        if name in change.model_fields_set and (value is not None or name in ("promote", "title"))
    }
    whole = {name: getattr(row, name) for name in SchedulePatch.model_fields} | changed
    parsed = ScheduleRequest.model_validate({"name": id_, **whole})
    _check(session, parsed.cron, parsed.timezone, parsed.training, parsed.promote)
    if row.promote and row.promote.approval and not (parsed.promote and parsed.promote.approval):
        acting.check_approver(f"Schedule {id_!r}")
    for name, value in changed.items():
        setattr(row, name, value)
    if changed.keys() & {"cron", "timezone", "enabled"}:
        row.due = cron.after(row.cron, row.timezone, clock()) if row.enabled else None
    row.updated, row.revision = now(), row.revision + 1
    return row


def delete(session: Session, id_: str, if_match: IfMatch = ANY) -> None:
    """Delete a schedule and its runs. A running training continues, and its version is not promoted.

    Raises `NotFound`, or `PreconditionFailed` if the schedule has changed.
    """
    session.delete(_locked(session, id_, if_match))
    forget(session, "schedule", [id_])


def run(services: Services, id_: str, once: IdempotentRequest, clock: Clock = now) -> ScheduleRun:
    """Run a schedule now, even if it is disabled. The next time when it is due stays as it is.

    Raises `NotFound`, or `Conflict` when the last run has not ended.
    """
    run_id = new_id("run")
    with services.database.write() as session:
        if earlier := once.earlier(session, run_id):
            return schedule_runs.get(session, earlier)
        row = _locked(session, id_, ANY)
        if before := schedule_runs.unfinished(session, id_):
            raise Conflict("run-goes-on", f"Run {before.id!r} of this schedule has not ended: it is {before.status}.")
        moment = clock()
        job = schedule_runs.begin(
            session, row, moment, moment, settings=services.settings, trigger="manual", id_=run_id
        )
        made = schedule_runs.get(session, run_id)
    if job:
        services.queue.notify(job)
    return made


def runs(session: Session, id_: str, *, limit: int, token: str | None) -> Page[ScheduleRun]:
    """A page of the runs of a schedule, newest first. Raises `NotFound` when there is no such schedule."""
    get(session, id_)
    return schedule_runs.find(session, id_, limit=limit, token=token)


def run_of(session: Session, id_: str, run_id: str) -> ScheduleRun:
    """The run `run_id` of a schedule. Raises `NotFound` when the schedule has no such run."""
    row = schedule_runs.get(session, run_id) if run_id.isprintable() else None
    if row is None or row.schedule != id_:
        raise NotFound("run", run_id if run_id.isprintable() else "?")
    return row


def _name_taken(name: str) -> Conflict:
    return Conflict("name-taken", f"There is already a schedule {name!r}: change it, or choose another name.")


def _locked(session: Session, id_: str, if_match: IfMatch) -> Schedule:
    """The row of a schedule, locked until the end of the transaction."""
    row = locked(session, id_)
    if_match.check(row.tag)
    return row


def _check(
    session: Session, cron_text: str, timezone: str, training: TrainingRequest, promote: PromoteRequest | None
) -> None:
    faults = (*cron.faults(cron_text, timezone), *_training_faults(session, training, promote))
    refuse_any("invalid-schedule", faults)


def _training_faults(session: Session, training: TrainingRequest, promote: PromoteRequest | None) -> Iterator[Fault]:
    try:
        dataset = trainings.trainable(session, training.dataset)
        trainings.check_configs(session, dataset, [training.config])
    except Problem as problem:
        unready = Fault(
            problem.code.replace("-", "_"), problem.detail, "Wait for its job, or name another dataset.", "/dataset"
        )
        faults = problem.faults or (unready,)
        yield from (fault.at(f"/training{fault.pointer}") for fault in faults)
        return
    if promote and not datasets.prepared(dataset).masks[promote.split]:
        hint = f"Create a version of the dataset with scenes in split.{promote.split}, or leave promote out."
        detail = f"{dataset.id!r} has no {promote.split} split to compare the versions on."
        yield Fault("no_test_split", detail, hint, "/promote/split")
