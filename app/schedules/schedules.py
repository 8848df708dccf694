"""Schedules: retraining by cron in a time zone."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.core.columns import now
from app.core.errors import Conflict, Invalid, NotFound, PreconditionFailed, Problem
from app.core.idempotency import IdempotentRequest
from app.core.names import new_id
from app.core.paging import Page, page
from app.core.rows import getter
from app.data import datasets
from app.learning import trainings
from app.requests import PromoteRequest, SchedulePatch, ScheduleRequest, TrainingRequest
from app.schedules import cron, schedule_runs
from app.services import Services
from app.tables import Schedule, ScheduleRun
from ml.faults import Fault

Clock = Callable[[], datetime]
get = getter(Schedule, "schedule")


def create(session: Session, request: ScheduleRequest, once: IdempotentRequest, clock: Clock = now) -> Schedule:
    """A new schedule under its name, all its faults at once."""
    if earlier := once.earlier(session, request.name):
        return get(session, earlier)
    if session.get(Schedule, request.name):
        raise _taken(request.name)
    _check(session, request.cron, request.timezone, request.training, request.promote)
    row = Schedule(
        id=request.name,
        cron=request.cron,
        timezone=request.timezone,
        training=request.training,
        promote=request.promote,
        enabled=request.enabled,
        due=cron.after(request.cron, request.timezone, clock()) if request.enabled else None,
    )
    session.add(row)
    try:
        session.flush()
    except IntegrityError as error:  # somebody else made one of this name at the same time
        raise _taken(request.name) from error
    return row


def find(session: Session, *, limit: int, token: str | None) -> Page[Schedule]:
    """All schedules, newest first."""
    return page(session, select(Schedule), Schedule.created, Schedule.id, limit=limit, token=token)


def patch(session: Session, id_: str, change: SchedulePatch, if_match: int | None, clock: Clock = now) -> Schedule:
    """Change what `change` names. New times count from now: what was due while it was disabled is not caught up."""
    row = _held(session, id_, if_match)
    given: dict[str, Any] = {
        name: value
        for name, value in change
        if name in change.model_fields_set and (value is not None or name == "promote")
    }
    whole = {name: getattr(row, name) for name in SchedulePatch.model_fields} | given
    parsed = ScheduleRequest.model_validate({"name": id_, **whole})
    _check(session, parsed.cron, parsed.timezone, parsed.training, parsed.promote)
    for name, value in given.items():
        setattr(row, name, value)
    if given.keys() & {"cron", "timezone", "enabled"}:
        row.due = cron.after(row.cron, row.timezone, clock()) if row.enabled else None
    row.updated, row.revision = now(), row.revision + 1
    return row


def delete(session: Session, id_: str, if_match: int | None) -> None:
    """Forget a schedule and its runs; a training that goes on ends as any other, and nothing is promoted."""
    session.delete(_held(session, id_, if_match))


def run(services: Services, id_: str, once: IdempotentRequest, clock: Clock = now) -> ScheduleRun:
    """Run now, also when disabled; `Conflict` while a run goes on. The next time by the clock stays."""
    run_id = new_id("run")
    with services.database.write() as session:
        if earlier := once.earlier(session, run_id):
            return schedule_runs.get(session, earlier)
        row = _held(session, id_, None)
        if before := schedule_runs.going_on(session, id_):
            raise Conflict("run-goes-on", f"Run {before.id!r} of this schedule goes on: it is {before.status}.")
        moment = clock()
        job = schedule_runs.begin(session, row, moment, moment, trigger="manual", id_=run_id)
        made = schedule_runs.get(session, run_id)
    if job:
        services.queue.notify(job)
    return made


def runs(session: Session, id_: str, *, limit: int, token: str | None) -> Page[ScheduleRun]:
    """The runs of a schedule, newest first; `NotFound` when there is no such schedule."""
    get(session, id_)
    return schedule_runs.find(session, id_, limit=limit, token=token)


def run_of(session: Session, id_: str, run_id: str) -> ScheduleRun:
    """A run of a schedule, or `NotFound`."""
    row = schedule_runs.get(session, run_id) if run_id.isprintable() else None
    if row is None or row.schedule != id_:
        raise NotFound("run", run_id if run_id.isprintable() else "?")
    return row


def _taken(name: str) -> Conflict:
    return Conflict("name-taken", f"There is another schedule {name!r}: change it, or choose another name.")


def _held(session: Session, id_: str, if_match: int | None) -> Schedule:
    row = session.get(Schedule, id_, with_for_update=True)
    if row is None:
        raise NotFound("schedule", id_)
    if if_match is not None and row.revision != if_match:
        raise PreconditionFailed("schedule-changed", "The schedule has changed since you read it: read it again.")
    return row


def _check(
    session: Session, cron_text: str, timezone: str, training: TrainingRequest, promote: PromoteRequest | None
) -> None:
    faults = [*cron.faults(cron_text, timezone), *_training_faults(session, training, promote)]
    if faults:
        raise Invalid("invalid-schedule", *faults)


def _training_faults(session: Session, training: TrainingRequest, promote: PromoteRequest | None) -> Iterator[Fault]:
    try:
        dataset = trainings.trainable(session, training.dataset)
        trainings.check_configs(dataset, [training.config])
    except Problem as problem:
        unready = Fault(
            problem.code.replace("-", "_"), problem.detail, "Wait for its job, or name another.", "/dataset"
        )
        faults = problem.faults or (unready,)
        yield from (fault.at(f"/training{fault.pointer}") for fault in faults)
        return
    if promote and not datasets.prepared(dataset).masks[promote.split]:
        hint = f"Make a version of the dataset with scenes in split.{promote.split}, or leave promote out."
        yield Fault(
            "no_test_split", f"{dataset.id!r} has no {promote.split} split to decide on.", hint, "/promote/split"
        )
