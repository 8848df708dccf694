"""Deletes what nobody needs any more, after the times that the settings name. Several processes may do so at once."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import CursorResult, Result, Select, delete, select

from app.core import tenancy
from app.core.columns import Base, now
from app.core.errors import Conflict, NotFound
from app.core.idempotency import IdempotencyKey
from app.data import upload_end
from app.data.upload_objects import PLACE
from app.jobs.lifecycle import FINAL, UNSUCCESSFUL
from app.services import Services
from app.storage.store import StoredObject, remove_leftovers
from app.tables import AuditEntry, Delivery, IncomingFile, Job, JobLog, SeriesRow, Worker
from app.upkeep import deletion
from app.upkeep.files import every_file
from app.upkeep.references import WITH_JOBS, Thing

JOBS = 200  # in one transaction: on SQLite all other writers wait for it
NOT_ORPHANS = ("resume/", PLACE)  # those of jobs, which workers delete, and pieces of uploads
log = structlog.get_logger()


def sweep(services: Services) -> None:
    """Delete everything whose time is over. What fails is logged, and does not keep the rest."""
    settings = services.settings
    rules: dict[str, tuple[float, Callable[[Services, datetime], int]]] = {
        "logs of jobs": (settings.keep_logs_d, _of_jobs(JobLog, "job_id")),
        "series of trainings": (settings.keep_series_d, _of_jobs(SeriesRow, "training")),
        "idempotency keys": (settings.keep_keys_d, _rows(IdempotencyKey, "created")),
        "audit log": (settings.keep_audit_d, _rows(AuditEntry, "at")),
        "deliveries of webhooks": (settings.keep_deliveries_d, _rows(Delivery, "ended")),
        "dead workers": (settings.keep_workers_d, _rows(Worker, "seen")),
        "messages of the broker": (settings.keep_messages_d, _messages),
        "failed and dismissed work": (settings.keep_failed_d, _failed),
        "orphans": (settings.keep_orphans_d, delete_orphans),
        "unfinished uploads": (1, _uploads),
        "uploads of killed processes": (1, lambda services, before: services.store.sweep(before)),
        "room of arriving files": (1, _rows(IncomingFile, "until")),
    }
    for name, (days, forget) in rules.items():
        try:
            count = forget(services, now() - timedelta(days=days)) if days else 0
        except Exception:
            log.exception("could not be swept, will try again", what=name)
            continue
        if count:
            log.info("swept", what=name, count=count, days=days)


def orphans(services: Services, before: datetime) -> list[StoredObject]:
    """The objects of the store that are older than `before` and that no row of any tenant names.

    The store is listed first: what is stored and recorded in between cannot seem to be an orphan.
    """
    listed = [item for item in services.store.objects() if not item.key.startswith(NOT_ORPHANS)]
    old = [item for item in listed if item.modified < before]
    with tenancy.acting_for(tenancy.ALL), services.database.read() as session:
        named = set(every_file(session))
    return [item for item in old if item.key not in named]


def delete_orphans(services: Services, before: datetime) -> int:
    """Delete the orphans that are older than `before`; returns their number."""
    found = orphans(services, before)
    for item in found:
        services.store.delete(item.key)
        log.warning("an orphan was deleted", key=item.key, size_bytes=item.size_bytes)
    return len(found)


def _rows(table: type[Base], column: str) -> Callable[[Services, datetime], int]:
    """Delete rows whose time in `column` is over."""

    def forget(services: Services, before: datetime) -> int:
        old = getattr(table, column) < before
        with services.database.read() as session:
            if session.scalar(select(getattr(table, column)).where(old).limit(1)) is None:
                return 0
        with services.database.write() as session:
            return _count(session.execute(delete(table).where(old)))

    return forget


def _of_jobs(table: type[JobLog | SeriesRow], column: str) -> Callable[[Services, datetime], int]:
    """Delete the rows of jobs that have ended before the time is over, some jobs at a time."""
    of_job = getattr(table, column)

    def some(before: datetime) -> Select[str]:
        ended = select(Job.id).where(Job.status.in_(FINAL), Job.finished < before)
        return ended.where(select(of_job).where(of_job == Job.id).exists()).limit(JOBS)

    def forget(services: Services, before: datetime) -> int:
        count = 0
        while True:
            with services.database.read() as session:
                ids = session.scalars(some(before)).all()
            if not ids:
                return count
            with services.database.write() as session:
                count += _count(session.execute(delete(table).where(of_job.in_(ids))))

    return forget


def _count(result: Result[Any]) -> int:
    """The number of rows that a statement has deleted."""
    return result.rowcount if isinstance(result, CursorResult) else 0


def _messages(services: Services, before: datetime) -> int:
    """Delete messages of the broker of plain files: the sweep sends new ones for jobs that wait."""
    if not services.settings.broker.startswith("filesystem"):
        return 0
    return remove_leftovers(services.settings.broker_dir.glob("*.msg"), before.timestamp())


def _uploads(services: Services, before: datetime) -> int:
    count, path = upload_end.delete_expired(services, before), services.store.partial("*")
    return count + (remove_leftovers(path.parent.glob(path.name), before.timestamp()) if path else 0)


def _failed(services: Services, before: datetime) -> int:
    """Delete what has failed or was dismissed, unless something needs it."""
    with services.database.read() as session:
        old = select(Job).where(Job.status.in_(UNSUCCESSFUL), Job.finished < before, Job.kind.in_(WITH_JOBS))
        jobs = session.scalars(old.where(Job.parent.is_(None)).limit(JOBS)).all()
    return sum(_forget(services, job) for job in jobs)


def _forget(services: Services, job: Job) -> bool:
    """Delete the result of a job of any tenant, unless something needs it. Returns whether it was deleted."""
    with tenancy.acting_for(job.tenant):
        thing = Thing(job.kind, tenancy.plain(job.id))
        try:
            deletion.delete(services, thing)
        except (Conflict, NotFound) as kept:
            log.debug("kept", thing=str(thing), why=kept.detail)
            return False
    return True
