"""The runs of schedules. A run trains a model, has the versions evaluated, and ends with a verdict. Its statuses are

    training -> evaluating -> promoted | kept        with a gate
    training -> evaluating -> proposed               instead of promoted, when the gate or the model asks for approval
    training -> trained                              without a gate
    training -> failed | dismissed                   when the job of the training has ended so
    skipped                                          when the run before had not ended, or nothing is new since then
    failed                                           when the training was refused

The verdict is made in one transaction that locks the model. It reads which version the alias points at now, compares
the new version with it on the same split, and moves the alias. If that version was never scored on the split, it is
scored first, and then the alias is read again. So a verdict never compares with a version that the alias has left.
"""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.access import usage
from app.core.errors import Problem, document
from app.core.names import new_id
from app.core.paging import Page, page
from app.core.rows import getter
from app.data import datasets
from app.jobs import lifecycle
from app.learning import evaluations, registry, trainings
from app.requests.schedules import PromoteRequest
from app.results import ScoredVersion, Verdict
from app.schedules import gate
from app.settings import Settings
from app.tables import Job, ModelVersion, Schedule, ScheduleRun, Training

JOB_ENDS = {"failed": "failed", "dismissed": "dismissed"}
get = getter(ScheduleRun, "run")


def find(session: Session, schedule: str, *, limit: int, token: str | None) -> Page[ScheduleRun]:
    """A page of the runs of a schedule, newest first."""
    wanted = select(ScheduleRun).where(ScheduleRun.schedule == schedule)
    return page(session, wanted, ScheduleRun.created, ScheduleRun.id, limit=limit, token=token)


def unfinished(session: Session, schedule: str) -> ScheduleRun | None:
    """The run of a schedule that has not ended, if there is one."""
    return session.scalar(
        select(ScheduleRun).where(ScheduleRun.schedule == schedule, ScheduleRun.finished.is_(None)).limit(1)
    )


def at(session: Session, schedule: str, due: datetime) -> ScheduleRun | None:
    """The run of a schedule that was due at the time `due`, if there is one."""
    return session.scalar(select(ScheduleRun).where(ScheduleRun.schedule == schedule, ScheduleRun.due == due))


def begin(
    session: Session,
    schedule: Schedule,
    due: datetime,
    moment: datetime,
    *,
    settings: Settings,
    trigger: str,
    missed: int = 0,
    id_: str = "",
) -> Job | None:
    """Add a new run and its training. The caller notifies the workers of the returned job after the commit.

    The run is skipped if the run before has not ended, or if it is due and would make the version of the run before
    once more. It is failed if its training is refused, also for a limit of the tenant. It has no job then.

    due: When the schedule was due. moment: The current time. trigger: "cron", "catch_up" or "manual".
    missed: Number of earlier times at which no run was made. id_: Id of the run; by default a new one.
    """
    before = unfinished(session, schedule.id)
    run = ScheduleRun(
        id=id_ or new_id("run"),
        schedule=schedule.id,
        due=due,
        trigger=trigger,
        missed=missed,
        status="training",
        promote=schedule.promote,
        created=moment,
    )
    session.add(run)
    if before:
        _end(run, "skipped", f"run {before.id} of {before.due:%Y-%m-%dT%H:%M:%SZ} had not ended", moment)
        return None
    try:
        if trigger != "manual" and not schedule.always and (same := _same_version(session, schedule)):
            _end(run, "skipped", f"nothing new: {same}", moment)
            return None
        with session.begin_nested():
            job = _train(session, schedule)
            usage.check_jobs(session, settings)
    except Problem as problem:
        run.error = document(422, problem.code, problem.title, problem.detail, problem.faults)
        _end(run, "failed", f"the training was refused: {problem.detail}", moment)
        return None
    run.training = job.id
    return job


def _train(session: Session, schedule: Schedule) -> Job:
    request = schedule.training
    dataset = trainings.trainable(session, request.dataset)
    trainings.check_configs(session, dataset, [request.config])
    return trainings.add_requested(session, request, dataset)


def _same_version(session: Session, schedule: Schedule) -> str:
    """The version that a training would make once more, in words; "" if something has changed since the last run.

    Dataset, config and name must be those of the last run that trained, and its gate; its version must exist.
    """
    trained = select(ScheduleRun).where(ScheduleRun.schedule == schedule.id, ScheduleRun.training.is_not(None))
    last = session.scalar(trained.order_by(ScheduleRun.created.desc(), ScheduleRun.id.desc()).limit(1))
    if last is None or last.promote != schedule.promote:
        return ""
    request, made = schedule.training, trainings.get(session, last.training or "")
    dataset = trainings.trainable(session, request.dataset)
    wanted = (dataset.id, request.register_as or dataset.name, trainings.config_for(session, dataset, request.config))
    if made.version is None or wanted != (made.dataset, made.register_as, made.config):
        return ""
    return f"version {made.version} was trained on {dataset.id} with the same config by run {last.id}"


def advance(session: Session, id_: str, moment: datetime) -> list[Job]:
    """Move a run on as far as possible, and return the new jobs, of which the caller notifies the workers.

    Several processes may do this at the same time.
    """
    run = session.get(ScheduleRun, id_, with_for_update=True, populate_existing=True)
    if run is None or run.finished or run.training is None:
        return []
    training, job = trainings.get(session, run.training), lifecycle.get(session, run.training)
    if job.status in JOB_ENDS:
        run.error = job.error
        _end(run, JOB_ENDS[job.status], f"training {job.id}: {job.message}", moment)
    if job.status != "successful":
        return []
    if run.promote is None:
        _end(run, "trained", f"version {training.version} is registered, and nothing is promoted", moment)
        return []
    return _decide(session, run, run.promote, training, moment)


def _decide(
    session: Session, run: ScheduleRun, request: PromoteRequest, training: Training, moment: datetime
) -> list[Job]:
    """End the run with a verdict, or return the job that scores the version that the alias points at."""
    name = training.register_as
    standing = registry.standing(session, name, request.alias)
    candidate = registry.get(session, name, str(training.version))
    if candidate.metrics.of(request.split) is None:
        _end(run, "failed", f"{training.dataset} has no {request.split} split to compare the versions on", moment)
        return []
    if standing is None or standing == candidate.version:
        _judge(session, run, request, candidate, None, moment)
        return []
    champion = registry.get(session, name, str(standing))
    for version in (champion, candidate):  # an older worker may have scored the candidate in another precision
        if evaluations.known(session, version, training.dataset, request.split) is None:
            return _evaluate(session, run, version, training.dataset, request.split, moment)
    _judge(session, run, request, candidate, champion, moment)
    return []


def _evaluate(
    session: Session, run: ScheduleRun, version: ModelVersion, dataset_id: str, split: str, moment: datetime
) -> list[Job]:
    """Have a version scored on the split that decides. Returns the new job, if any.

    This is tried only once: if the evaluation fails or is not possible, the run ends and the alias stays.
    """
    dataset = datasets.get(session, dataset_id)
    for id_ in run.evaluations:
        if evaluations.get(session, id_).version != version.version:
            continue
        job = lifecycle.get(session, id_)
        if job.status in JOB_ENDS:
            run.error = job.error
            _end(run, "kept", f"version {version.version} could not be scored: {job.message}", moment)
        if job.status == "successful":
            why = "was scored by a worker of an older version, whose scores cannot be compared; update all workers"
            _end(run, "kept", f"version {version.version} {why}", moment)
        return []
    if faults := evaluations.faults(session, version, dataset, split):
        why = "; ".join(fault.detail for fault in faults)
        run.error = document(422, "contract-mismatch", "The versions cannot be compared", why, faults)
        _end(run, "kept", f"version {version.version} cannot be scored on {dataset.id}: {why}", moment)
        return []
    job = evaluations.add(session, version, dataset, split)
    run.evaluations = [*run.evaluations, job.id]
    run.status, run.message = "evaluating", f"version {version.version} is scored on {dataset.id} {split}"
    return [job]


def _judge(
    session: Session,
    run: ScheduleRun,
    request: PromoteRequest,
    candidate: ModelVersion,
    champion: ModelVersion | None,
    moment: datetime,
) -> None:
    """End the run with a verdict. If all checks pass, the alias points at the candidate, or it is proposed."""
    dataset, split = candidate.dataset or "", request.split
    old_score = evaluations.known(session, champion, dataset, split) if champion else None
    new_score = evaluations.known(session, candidate, dataset, split)
    new = new_score.metrics if new_score else candidate.metrics.of(split)
    old = old_score.metrics if old_score else None
    assert new is not None, "`_decide` has checked that the candidate was scored on this split"
    found = tuple(gate.checks(request, new, old))
    promote = all(check.passed for check in found)
    why = gate.reason(found, champion.version if champion else None)
    if new_score and old_score and new_score.device != old_score.device:
        why += f"; scored on {new_score.device} and on {old_score.device}, which round differently"
    standing = registry.standing(session, candidate.name, request.alias)
    if standing == candidate.version:  # it is the first version of the model, or the alias was moved by hand
        why += f"; {request.alias} pointed at this version already"
    verdict = Verdict(
        promote=promote,
        reason=why,
        model=candidate.name,
        alias=request.alias,
        dataset=dataset,
        split=split,
        candidate=ScoredVersion(version=candidate.version, metrics=new),
        champion=ScoredVersion(version=champion.version, metrics=old) if champion and old else None,
        checks=found,
    )
    run.verdict = verdict
    if not promote:
        _end(run, "kept", why, moment)
    elif standing == candidate.version:
        _end(run, "promoted", why, moment)
    elif request.approval or registry.asks_for_approval(session, candidate.name):
        how = f"PUT /v1/models/{candidate.name}/aliases/{request.alias} with version {candidate.version} approves it"
        _end(run, "proposed", f"{why}; {how}", moment)
    else:
        registry.point(session, candidate.name, request.alias, candidate.version, f"schedule {run.schedule}: {why}")
        _end(run, "promoted", why, moment)


def _end(run: ScheduleRun, status: str, message: str, moment: datetime) -> None:
    run.status, run.message, run.finished = status, message, moment
