"""The audit log: each transaction that changes something on somebody's behalf adds an entry, and commits it with it.

No use case and no route has to think of it: the sessions see what changes, and `app.core.acting` who wishes it.
"""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Select, event, select
from sqlalchemy.orm import ORMExecuteState, Session, UOWTransaction, object_mapper

from app.core import acting
from app.core.db import ScopedSession
from app.core.names import new_id
from app.core.paging import Page, page
from app.tables import (
    AliasMove,
    AuditEntry,
    IdempotencyKey,
    IncomingFile,
    Key,
    Secret,
    Titled,
    UnfinishedUpload,
    UploadPiece,
)
from ml.csv_text import plain_cells

COLUMNS = ("at", "tenant", "who", "action", "made", "peer", "request", "id")
PATH_LENGTH = 500  # characters of an action that are kept
MADE_LENGTH = 200  # characters of what was made that are kept, as in the table
_UNTOLD = (
    AuditEntry,
    IdempotencyKey,
    IncomingFile,
    Secret,
    UnfinishedUpload,
    UploadPiece,
)  # tables of which a change is nobody's wish
_CHANGED, _MADE = "changed", "made"


@cache
def watch() -> None:
    """Let this process write the audit log: call it before the first transaction."""
    event.listen(ScopedSession, "after_flush", _see_rows)
    event.listen(ScopedSession, "do_orm_execute", _see_statement)
    event.listen(ScopedSession, "before_commit", _record)
    event.listen(ScopedSession, "after_soft_rollback", _forget)


def note(session: Session, made: str | None = None) -> None:
    """Let the transaction of `session` add an entry although it changes no row. made: What it made, if anything."""
    session.info[_CHANGED] = True
    if made is not None:
        session.info[_MADE] = made[:MADE_LENGTH]


@dataclass(frozen=True)
class Wanted:
    """Which entries are wanted: of a tenant, of somebody, of a time; None for those of all, and of any time."""

    tenant: str | None = None
    who: str | None = None
    start: datetime | None = None
    end: datetime | None = None

    @property
    def entries(self) -> Select[AuditEntry]:
        """The entries, in no order."""
        wanted = select(AuditEntry)
        if self.tenant is not None:
            wanted = wanted.where(AuditEntry.tenant == self.tenant)
        if self.who is not None:
            wanted = wanted.where(AuditEntry.who == self.who)
        if self.start is not None:
            wanted = wanted.where(AuditEntry.at >= self.start)
        if self.end is not None:
            wanted = wanted.where(AuditEntry.at <= self.end)
        return wanted


def find(session: Session, wanted: Wanted, *, limit: int, token: str | None) -> Page[AuditEntry]:
    """A page of the wanted entries in the scope, newest first."""
    return page(session, wanted.entries, AuditEntry.at, AuditEntry.id, limit=limit, token=token)


def as_csv(entries: Iterable[AuditEntry]) -> str:
    """Entries as CSV, with the names of the columns in the first line."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for entry in entries:
        writer.writerow(plain_cells([entry.at.isoformat(), *(getattr(entry, name) for name in COLUMNS[1:])]))
    return text.getvalue()


def _see_rows(session: ScopedSession, _context: UOWTransaction) -> None:
    """Remember whether rows have changed, and what is new."""
    changed = [row for row in session.dirty if session.is_modified(row)]
    if any(not isinstance(row, _UNTOLD) for row in (*session.new, *changed, *session.deleted)):
        session.info[_CHANGED] = True
    for made in filter(None, map(_name, session.new)):
        session.info.setdefault(_MADE, made)


def _see_statement(state: ORMExecuteState) -> None:
    """Remember whether a statement changes rows."""
    if state.is_insert or state.is_update or state.is_delete:
        table = state.bind_mapper.class_ if state.bind_mapper else None
        if table not in _UNTOLD:
            state.session.info[_CHANGED] = True


def _record(session: ScopedSession) -> None:
    """Add the entry of a transaction in which something has changed on somebody's behalf."""
    act = acting.current()
    session.flush()
    changed, made = session.info.pop(_CHANGED, False), session.info.pop(_MADE, None)
    if act is None or act.reads or not changed:
        return
    by = {"who": act.who, "action": act.action[:PATH_LENGTH], "peer": act.peer, "request": act.request}
    session.add(AuditEntry(id=new_id("aud"), made=made, **by))


def _forget(session: ScopedSession, _previous: object) -> None:
    session.info.pop(_CHANGED, None)
    session.info.pop(_MADE, None)


def _name(row: Any) -> str | None:
    """The id of a new resource; of a move of an alias the version that it points at now."""
    if isinstance(row, AliasMove):
        return None if row.version is None else f"{row.model}:{row.version}"
    if not isinstance(row, Titled | Key):
        return None
    identity = object_mapper(row).primary_key_from_instance(row)
    return ":".join(map(str, identity))
