"""Room that is reserved for files while they arrive, so that simultaneous uploads cannot pass a limit together.

A reservation has the name of the file beside the store. It ends by itself, after some time, if its process dies.
"""

from datetime import timedelta

import structlog
from sqlalchemy import delete
from sqlalchemy.exc import OperationalError

from app.access import limits, usage
from app.core import tenancy
from app.core.columns import now
from app.core.db import Database
from app.settings import Settings
from app.tables import IncomingFile

log = structlog.get_logger()


def reserve(database: Database, settings: Settings, name: str, needed: int, wanted: int, keep: timedelta) -> int:
    """Reserve room for a file of the tenant; returns the bytes that it may have now, `wanted` at most.

    needed: Bytes that it will have at least. keep: For how long the reservation holds. Raises `StorageFull` or
    `NeverFits` if those do not fit.
    """
    with database.write() as session:
        most = limits.of_scope(session, settings).stored_bytes
        if not most:  # there was a limit a moment ago
            return wanted
        usage.lock(session)
        row = session.get(IncomingFile, name)
        others = usage.stored_bytes(session, tenancy.current())
        if row is not None and row.until > now():
            others -= row.size_bytes
        usage.check_fits(others, needed, most)
        granted = min(wanted, most - others)
        session.merge(IncomingFile(name=name, size_bytes=granted, until=now() + keep))
    return granted


def settle(database: Database, name: str, size_bytes: int) -> None:
    """Reserve no more than `size_bytes` for a file of which no more will come for now."""
    with database.write() as session:
        if row := session.get(IncomingFile, name):
            row.size_bytes = size_bytes


def name_of_upload(id_: str) -> str:
    """The name of the reservation for an upload in pieces."""
    return f"upload-{id_}"


def release_upload(database: Database, id_: str) -> None:
    """Give the room of an upload in pieces back, of the scope or, in that of all tenants, of any."""
    with tenancy.acting_for(tenancy.tenant_of(tenancy.whole(id_))):
        release(database, name_of_upload(tenancy.plain(id_)))


def release(database: Database, name: str) -> None:
    """Give the room of a file back that is gone, or that a row names now."""
    try:
        with database.write() as session:
            session.execute(delete(IncomingFile).where(IncomingFile.name == name))
    except OperationalError as error:
        log.warning("the room of an arriving file is given back later, by itself", name=name, error=str(error))
