"""Deletes resources, each alone or with all that needs it, and says before what would go.

Rows that go are locked before anybody asks what needs them, so a request that needs one waits, and then fails. Jobs are
locked before their resources, and child jobs before their parents, as everywhere.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import delete as delete_rows
from sqlalchemy import or_, select, tuple_, update
from sqlalchemy.orm import Session

from app.core import acting
from app.core.errors import Conflict, NotFound, StoreAway
from app.core.idempotency import forget
from app.core.preconditions import ANY, IfMatch, tag_of
from app.data import datasets, labels, numbers, scenes
from app.jobs import lifecycle
from app.learning import registry
from app.mapping import zones
from app.services import Services
from app.tables import (
    Alias,
    DamagedFile,
    Dataset,
    DatasetLabels,
    DatasetScenes,
    Job,
    Model,
    ModelVersion,
    Part,
    ScheduleRun,
    Training,
)
from app.upkeep.files import files_of
from app.upkeep.references import BELONGS, NEEDS, TABLES, WITH_JOBS, Thing, batches, found, versions_in
from ml.faults import Fault

# The order in which rows are deleted: nothing is deleted before what refers to it.
ORDER = (
    *("sample", "survey", "prediction", "evaluation", "alias", "version", "model", "training", "experiment"),
    *("schedule", "dataset", "labels", "scene", "zones"),
)
# what the scope operate may delete; everything else needs train
OPERATED = ("scene", "labels", "zones", "prediction", "survey", "sample")
NEITHER = "It is neither moved nor ended by a deletion, also not by one with cascade."
log = structlog.get_logger()
Ids = dict[str, list[str]]  # by kind


@dataclass(frozen=True)
class Plan:
    """What a deletion takes along. own: the resource and what belongs to it. others: what needs these, in turn."""

    own: tuple[Thing, ...]
    others: tuple[Thing, ...]

    @property
    def all(self) -> tuple[Thing, ...]:
        """Everything that goes."""
        return (*self.own, *self.others)


def preview(services: Services, thing: Thing, if_match: IfMatch = ANY, *, cascade: bool = False) -> Plan:
    """What `delete` would delete. Raises what `delete` would raise."""
    with services.database.read() as session:
        return _plan(session, thing, if_match, cascade=cascade)


def delete(services: Services, thing: Thing, if_match: IfMatch = ANY, *, cascade: bool = False) -> None:
    """Delete a resource with what belongs to it, and then its files. cascade: With all that needs it, too.

    Raises `NotFound`, `PreconditionFailed`, `Conflict` if something else needs it or its job has not ended, or
    `Forbidden` if whoever asks could not delete alone what would go.
    """

    def forget_rows(session: Session) -> tuple[list[str], Ids]:
        going = _by_kind(_plan(session, thing, if_match, cascade=cascade, lock=True).all)
        files = [key for kind, ids in going.items() for key in files_of(session, kind, ids)]
        for keys in batches(files):
            session.execute(delete_rows(DamagedFile).where(DamagedFile.key.in_(keys)))
        for kind in ORDER:
            for ids in batches(going.get(kind, [])):
                _FORGET[kind](session, ids)
                forget(session, kind, ids)
        return files, going

    files, going = services.database.erase(forget_rows)
    log.info("deleted", thing=str(thing), count=sum(map(len, going.values())), files=len(files))
    unlink(services, files, [id_ for kind in ("training", "prediction") for id_ in going.get(kind, ())])
    for key in files if "scene" in going else ():
        scenes.forget_copy(services, key)


def tag(session: Session, thing: Thing) -> str:
    """The ETag of a resource that can be deleted. Raises `NotFound`."""
    if thing.kind == "model":
        return registry.tag_of_model(session, thing.id)
    if thing.kind == "version":
        name, number = thing.id.rsplit(":", 1)
        version = registry.get(session, name, number)
        return tag_of(version.created, version.revision + registry.moves(session, name))
    if thing.kind in WITH_JOBS:
        table = TABLES[thing.kind]
        if session.scalar(select(table.id).where(table.id == thing.id)) is None:
            raise NotFound(thing.kind, thing.id)
        return lifecycle.get(session, thing.id).tag
    if thing.kind == "zones":
        return zones.get(session, thing.id).tag
    return (scenes.get if thing.kind == "scene" else labels.get)(session, thing.id).tag


def _plan(session: Session, thing: Thing, if_match: IfMatch, *, cascade: bool, lock: bool = False) -> Plan:
    """Find what a deletion takes along, and lock it. Raises as `delete` does."""
    if thing.kind == "dataset":
        datasets.exactly(session, thing.id)
    lock_all = lock_rows if lock else _leave
    lock_all(session, [thing])
    if_match.check(tag(session, thing))
    own = _with_belongings(session, [thing], lock_all)
    _refuse_unfinished(session, thing, own)
    others = _all_that_need(session, own, lock_all) if cascade else found(session, NEEDS, own)
    if not cascade:
        _refuse_used(session, thing, own, others)
        others = [other for other in others if other.kind == "alias"]
    _check_scope(thing, others)
    _refuse_unfinished(session, thing, others)
    _refuse_held(session, thing, [*own, *others])
    registry.check_approval(session, {other.id.partition("@")[0] for other in others if other.kind == "alias"})
    return Plan(tuple(own), tuple(others))


def _with_belongings(session: Session, things: Sequence[Thing], lock: Callable[..., None]) -> list[Thing]:
    known, new = dict.fromkeys(things), list(things)
    while new := [thing for thing in found(session, BELONGS, new) if thing not in known]:
        lock(session, new)
        known |= dict.fromkeys(new)
    return list(known)


def _all_that_need(session: Session, own: Sequence[Thing], lock: Callable[..., None]) -> list[Thing]:
    """Everything that needs one of `own`, or something that does, and what belongs to it; nearest first."""
    known, new = dict.fromkeys(own), list(own)
    while new := [thing for thing in found(session, NEEDS, new) if thing not in known]:
        lock(session, new)
        new = [thing for thing in _with_belongings(session, new, lock) if thing not in known]
        known |= dict.fromkeys(new)
    return list(known)[len(own) :]


def _check_scope(thing: Thing, others: Sequence[Thing]) -> None:
    """Raise `Forbidden` if whoever asks may delete `thing`, but not all that would go with it."""
    trained = next((other for other in others if other.kind not in OPERATED), None)
    if trained:
        acting.check_scope("train", f"With {thing}, {trained} would go: this needs the scope 'train'.")


def _refuse_unfinished(session: Session, thing: Thing, things: Iterable[Thing]) -> None:
    """Raise `Conflict` if a job of `things` has not ended."""
    ids = [item.id for item in things if item.kind in WITH_JOBS]
    jobs = [job for some in batches(ids) for job in lifecycle.by_id(session, some).values()]
    running = sorted((job for job in jobs if job.status not in lifecycle.FINAL), key=lambda job: job.created)
    if not running:
        return
    if [job.id for job in running] == [thing.id]:
        what = f"The job of {thing} is {running[0].reported_status}: dismiss it first."
        raise Conflict("job-running", what)
    faults = (
        Fault("job_running", f"The {job.kind} {job.id!r} has not ended: it is {status}.", f"DELETE /v1/jobs/{job.id}")
        for job, status in ((job, job.reported_status) for job in running)
    )
    what = f"{len(running)} jobs of what would be deleted with {thing} have not ended: dismiss them first."
    raise Conflict("job-running", what, *faults)


def _refuse_used(session: Session, thing: Thing, own: Sequence[Thing], others: Sequence[Thing]) -> None:
    """Raise `Conflict` if something needs `own`. The aliases of a model that goes as a whole go with it."""
    used = [other for other in others if thing.kind != "model" or other.kind != "alias"]
    if not used:
        return
    named = ", ".join(map(str, used[:3])) + (f" and {len(used) - 3} more" if len(used) > 3 else "")
    them = "these first, or all of it with ?cascade=true" if len(used) > 1 else "that first, or both with ?cascade=true"
    what = f"{_sentence(thing)} is needed by {named}: delete {them}; &dry_run=true says what would go."
    raise Conflict(f"{thing.kind}-in-use", what, *map(_needed_by, used))


def _needed_by(thing: Thing) -> Fault:
    hint = f"PUT {thing.href} moves it." if thing.kind == "alias" else f"DELETE {thing.href}"
    if thing.kind == "run":
        hint = "Wait until it has ended, or dismiss its jobs."
    return Fault("needed_by", f"{_sentence(thing)} needs it.", hint)


def _refuse_held(session: Session, thing: Thing, going: Sequence[Thing]) -> None:
    """Raise `Conflict` if something needs what would go that no deletion takes along.

    This is a run of a schedule that has not ended, and an alias of a model of which other versions stay.
    """
    versions = {item.id for item in going if item.kind == "version"}
    held = [item for item in going if item.kind == "run"]
    for item in going:
        model = item.id.partition("@")[0]
        if item.kind == "alias" and {other.id for other in found(session, BELONGS, [Thing("model", model)])} - versions:
            held.append(item)
    if held:
        what = f"With {thing} something would go that {held[0]} needs. {NEITHER}"
        raise Conflict(f"{thing.kind}-in-use", what, *map(_needed_by, held))


def _sentence(thing: Thing) -> str:
    text = str(thing)
    return text[0].upper() + text[1:]


def _by_kind(things: Iterable[Thing]) -> Ids:
    by_kind: Ids = {}
    for thing in things:
        by_kind.setdefault(thing.kind, []).append(thing.id)
    return by_kind


def _leave(session: Session, things: Iterable[Thing]) -> None:
    """Lock nothing, because nothing will be deleted."""


def lock_rows(session: Session, things: Iterable[Thing]) -> None:
    """Lock the rows of `things` and of their jobs. No other transaction can then add rows that refer to them."""
    by_kind = _by_kind(things)
    for name in sorted({*by_kind.get("model", ()), *(name for name, _ in versions_in(by_kind.get("version", ())))}):
        registry.take_turns(session, name)
    with_jobs = [id_ for kind in WITH_JOBS for id_ in by_kind.get(kind, ())]
    for ids in batches(with_jobs):
        jobs = select(Job.id).where(or_(Job.parent.in_(ids), Job.id.in_(ids)))
        session.execute(jobs.order_by(Job.parent.is_(None), Job.id).with_for_update())
    for kind, table in TABLES.items():
        for ids in batches(by_kind.get(kind, [])):
            session.execute(select(table.id).where(table.id.in_(ids)).order_by(table.id).with_for_update())
    for versions in batches(versions_in(by_kind.get("version", ()))):
        named = tuple_(ModelVersion.name, ModelVersion.version).in_(versions)
        session.execute(select(ModelVersion.name).where(named).with_for_update())


def _forget_predictions(session: Session, ids: Sequence[str]) -> None:
    session.execute(delete_rows(Part).where(Part.prediction.in_(ids)))
    _forget_with_jobs("prediction")(session, ids)


def _forget_surveys(session: Session, ids: Sequence[str]) -> None:
    lifecycle.release_children(session, ids)
    _forget_with_jobs("survey")(session, ids)


def _forget_datasets(session: Session, ids: Sequence[str]) -> None:
    versions = session.execute(select(Dataset.name, Dataset.version).where(Dataset.id.in_(ids)))
    numbers.retire(session, "dataset", [(name, number) for name, number in versions])
    for table in (DatasetScenes, DatasetLabels):
        session.execute(delete_rows(table).where(table.dataset.in_(ids)))
    _forget_with_jobs("dataset")(session, ids)


def _forget_trainings(session: Session, ids: Sequence[str]) -> None:
    ended = update(ScheduleRun).where(ScheduleRun.training.in_(ids))
    session.execute(ended.values(training=None))
    _forget_with_jobs("training")(session, ids)


def _forget_versions(session: Session, ids: Sequence[str]) -> None:
    versions = versions_in(ids)
    numbers.retire(session, "model", versions)
    made = update(Training).where(tuple_(Training.register_as, Training.version).in_(versions))
    session.execute(made.values(version=None))
    session.execute(delete_rows(ModelVersion).where(tuple_(ModelVersion.name, ModelVersion.version).in_(versions)))
    names = Model.name.in_({name for name, _ in versions}), Model.name.not_in(select(ModelVersion.name))
    session.execute(delete_rows(Model).where(*names))


def _forget_aliases(session: Session, ids: Sequence[str]) -> None:
    named = [tuple(id_.split("@")) for id_ in ids]
    session.execute(delete_rows(Alias).where(tuple_(Alias.model, Alias.alias).in_(named)))
    for model, alias in named:
        registry.record_move(session, model, alias, None, "the model was deleted")
    session.flush()


def _forget_in_datasets(kind: str, table: type[DatasetScenes | DatasetLabels]) -> Callable[..., None]:
    def forget(session: Session, ids: Sequence[str]) -> None:
        session.execute(delete_rows(table).where(table.used.in_(ids)))  # of datasets that have failed
        _forget_rows(kind)(session, ids)

    return forget


def _forget_with_jobs(kind: str) -> Callable[..., None]:
    def forget(session: Session, ids: Sequence[str]) -> None:
        _forget_rows(kind)(session, ids)
        session.execute(delete_rows(Job).where(or_(Job.id.in_(ids), (Job.parent.in_(ids)) & (Job.kind == "part"))))

    return forget


def _forget_rows(kind: str) -> Callable[..., None]:
    def forget(session: Session, ids: Sequence[str]) -> None:
        session.execute(delete_rows(TABLES[kind]).where(TABLES[kind].id.in_(ids)))

    return forget


_FORGET: dict[str, Callable[[Session, Sequence[str]], None]] = {
    "sample": _forget_with_jobs("sample"),
    "survey": _forget_surveys,
    "prediction": _forget_predictions,
    "evaluation": _forget_with_jobs("evaluation"),
    "alias": _forget_aliases,
    "version": _forget_versions,
    "model": lambda session, ids: None,  # it is nothing but its versions
    "training": _forget_trainings,
    "experiment": _forget_with_jobs("experiment"),
    "schedule": _forget_rows("schedule"),
    "dataset": _forget_datasets,
    "labels": _forget_in_datasets("labels", DatasetLabels),
    "scene": _forget_in_datasets("scene", DatasetScenes),
    "zones": _forget_rows("zones"),
}


def unlink(services: Services, files: Iterable[str], jobs: Iterable[str]) -> None:
    """Delete files that no row names any more. jobs: Ids of jobs, of which unfinished results go as well."""
    try:
        for key in files:
            services.store.delete(key)
        for id_ in jobs:
            for key in list(services.store.keys(f"resume/{id_}/")):
                services.store.delete(key)
    except (OSError, StoreAway) as error:
        log.warning("files of what was deleted stay until orphans are swept", error=str(error))
