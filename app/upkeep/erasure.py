"""Erases a tenant with everything that it has: rows, files and keys. Only a backup brings any of it back."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

import structlog
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from app.access import tenants
from app.access.keyring import TRUSTED_S
from app.core import tenancy
from app.core.columns import Base, now
from app.core.errors import Conflict, Locked, NotFound
from app.core.preconditions import ANY, IfMatch
from app.data import upload_end
from app.jobs import lifecycle
from app.services import Services
from app.tables import DamagedFile, Job, Key, ModelVersion, Tenant, UnfinishedUpload
from app.upkeep import deletion
from app.upkeep.files import every_file
from app.upkeep.references import TABLES, batches

PAUSE_S = 2 * TRUSTED_S  # after which no process lets a revoked key in, and no request that was let in goes on
_HELD = (*TABLES.values(), ModelVersion)  # tables of what a tenant would miss
log = structlog.get_logger()


def erase(services: Services, name: str, if_match: IfMatch = ANY, *, cascade: bool = False) -> None:
    """Erase a tenant. cascade: With everything that it has.

    Raises `NotFound`, `PreconditionFailed`, or `Conflict` if it is "local", if it has something and `cascade` is not
    said, or if its keys were in use or its jobs under way: they are ended now, so ask again after `PAUSE_S`.
    """
    with tenancy.acting_for(tenancy.ALL), services.database.write() as session:
        if_match.check(tenants.locked(session, name).tag)
        _refuse_needed(session, name, cascade=cascade)
        waits = [*_close_keys(session, name), *_close_jobs(session, name)]
    if waits:
        detail = f"Tenant {name!r} is being closed: its {' and '.join(waits)} are ended now."
        raise Conflict("tenant-closing", f"{detail} Ask again in {PAUSE_S:.0f} s.")
    with tenancy.acting_for(name):
        _delete_uploads(services)
        with services.database.read() as session:
            files, jobs = list(every_file(session)), list(session.scalars(select(Job.id)))
    with tenancy.acting_for(tenancy.ALL):
        services.database.erase(lambda session: _forget(session, name, files))
    with tenancy.acting_for(name):
        deletion.unlink(services, files, jobs)
    log.warning("a tenant was erased", tenant=name, files=len(files))


def _refuse_needed(session: Session, name: str, *, cascade: bool) -> None:
    if name == tenancy.LOCAL:
        raise Conflict("local-stays", "The tenant local belongs to whoever runs the service: it cannot be erased.")
    counts = {table.__tablename__.replace("_", " "): _count(session, table, name) for table in _HELD}
    held = ", ".join(f"{kind}: {count}" for kind, count in counts.items() if count)
    if held and not cascade:
        raise Conflict("tenant-in-use", f"Tenant {name!r} has {held}. Say cascade to erase all of it.")


def _count(session: Session, table: type[Base], name: str) -> int:
    rows = select(func.count()).select_from(table.__table__).where(table.__table__.c.tenant == name)
    return session.scalar(rows) or 0


def _close_keys(session: Session, name: str) -> list[str]:
    """Refuse the keys of a tenant. Returns "keys" if some could still be let in somewhere."""
    live = update(Key).where(Key.tenant == name, Key.revoked.is_(None))
    session.execute(live.values(revoked=now(), revision=Key.revision + 1))
    recent = select(Key.id).where(Key.tenant == name, Key.revoked > now() - timedelta(seconds=PAUSE_S))
    return ["keys"] if session.scalar(recent.limit(1)) else []


def _close_jobs(session: Session, name: str) -> list[str]:
    """Dismiss the jobs of a tenant. Returns "jobs" if workers still do some."""
    unfinished = select(Job.id).where(Job.tenant == name, Job.status.not_in(lifecycle.FINAL))
    for job_id in session.scalars(unfinished.where(Job.parent.is_(None))).all():
        lifecycle.dismiss(session, job_id)
    session.expire_all()
    return ["jobs"] if session.scalar(unfinished.limit(1)) else []


def _delete_uploads(services: Services) -> None:
    with services.database.read() as session:
        ids = session.scalars(select(UnfinishedUpload.id)).all()
    for id_ in ids:
        with suppress(Locked, NotFound):  # its last bytes arrive now, and are swept in a day
            upload_end.delete(services, id_)


def _forget(session: Session, name: str, files: Sequence[str]) -> None:
    """Delete all rows of a tenant, and the tenant."""
    for keys in batches(files):
        session.execute(delete(DamagedFile).where(DamagedFile.key.in_(keys)))
    for table in reversed(Base.metadata.sorted_tables):
        if "tenant" in table.columns:
            session.execute(delete(table).where(table.c.tenant == name))
    session.execute(delete(Tenant).where(Tenant.id == name))
