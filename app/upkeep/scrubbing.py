"""Reads all stored files, slowly and again and again, and remembers which are damaged: disks forget bits in silence."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from prometheus_client import Counter
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app.core import tenancy
from app.core.columns import now
from app.core.errors import Damaged
from app.core.idempotency import INSERT
from app.services import Services
from app.storage.owners import owner_of
from app.storage.store import Store, sha256_in
from app.tables import DamagedFile, Scrub
from app.upkeep.files import WITH_FILES, after, every_file, files_of

MB = 1_000_000
READ = Counter("canemap_scrubbed_bytes", "Bytes of stored files that were read to check them")
log = structlog.get_logger()


def check_all(services: Services) -> Iterator[tuple[str, str]]:
    """Check every file that a row of any tenant names. Yields each key, and "" or its fault: "damaged" or "missing"."""
    with tenancy.acting_for(tenancy.ALL), services.database.read() as session:
        keys = list(every_file(session))
    for key in keys:
        yield key, check(services, key)


def check(services: Services, key: str, pause: Callable[[int], None] = lambda size: None) -> str:
    """Check one file and remember the result. Returns "", "damaged" or "missing".

    pause: Called with the number of bytes that were just read.
    """
    fault = _fault(services.store, key, pause)
    with services.database.write() as session:
        _remember(session, key, fault)
    if fault:
        log.error("a stored file cannot be used", key=key, owner=owner_of(key), fault=fault)
    return fault


def damaged(session: Session, limit: int) -> list[DamagedFile]:
    """The files that were found damaged and not intact since, latest first."""
    return list(session.scalars(select(DamagedFile).order_by(DamagedFile.found.desc(), DamagedFile.key).limit(limit)))


def _fault(store: Store, key: str, pause: Callable[[int], None]) -> str:
    digest = hashlib.sha256()
    try:
        for piece in store.read(key):
            digest.update(piece)
            READ.inc(len(piece))
            pause(len(piece))
        return "" if digest.hexdigest() == sha256_in(key) else "damaged"
    except Damaged:
        return "missing"


def _remember(session: Session, key: str, fault: str) -> None:
    if not fault:
        session.execute(delete(DamagedFile).where(DamagedFile.key == key))
        return
    row = {"key": key, "owner": owner_of(key), "fault": fault, "found": now()}
    insert = INSERT[session.get_bind().dialect.name](DamagedFile).values(row)
    session.execute(insert.on_conflict_do_update(index_elements=["key"], set_={"fault": fault}))


class _Stopped(Exception):
    """The process ends."""


@dataclass
class Scrubber:
    """Checks the files of one resource after the other, and begins a new round when the last one began long ago.

    Several processes share a round: each takes the next resource from the database. wait: Waits for some seconds, and
    returns whether to stop.
    """

    services: Services
    wait: Callable[[float], bool]

    def run(self) -> None:
        """Check resources until the round is complete. Returns at once if no new round is due."""
        if not self.services.settings.scrub_mb_s:
            return
        with suppress(_Stopped):
            while resource := self._next():
                with self.services.database.read() as session:
                    keys = list(files_of(session, *resource))
                for key in keys:
                    check(self.services, key, self._pause)
                self._pause(0)

    def _pause(self, size: int) -> None:
        if self.wait(size / MB / self.services.settings.scrub_mb_s):
            raise _Stopped

    def _next(self) -> tuple[str, list[str]] | None:
        """Take the next resource: its kind and id. None if the round is complete and no new one is due."""
        with self.services.database.read() as session:
            row = session.get(Scrub, 1)
            if (
                row
                and not row.kind
                and row.began
                and now() - row.began < timedelta(days=self.services.settings.scrub_d)
            ):
                return None
            kind, thing = _following(session, *(row.kind, row.thing) if row else ("", ""))
        before = (row.kind, row.thing) if row else ("", "")
        with self.services.database.write() as session:
            taken = _take(session, before, (kind, thing))
        if not taken:
            return self._next()  # another process was quicker
        return (kind, [thing]) if kind else None


def _take(session: Session, before: tuple[str, str], then: tuple[str, str]) -> bool:
    """Move the round on from one resource to another. Returns False if another process has done so."""
    first = INSERT[session.get_bind().dialect.name](Scrub).values(id=1, kind="", thing="")
    session.execute(first.on_conflict_do_nothing())
    values: dict[str, Any] = {"kind": then[0], "thing": then[1]}
    if not before[0]:
        values |= {"began": now(), "ended": None}
    if not then[0]:
        values |= {"ended": now()}
    taken = update(Scrub).where(Scrub.id == 1, Scrub.kind == before[0], Scrub.thing == before[1])
    return session.execute(taken.values(**values).returning(Scrub.id)).first() is not None


def _following(session: Session, kind: str, thing: str) -> tuple[str, str]:
    """The resource after the given one, in the order of a round; two empty texts at its end."""
    start = WITH_FILES.index(kind) if kind else 0
    for number, other in enumerate(WITH_FILES[start:]):
        found = after(session, other, thing if number == 0 else "")
        if found is not None:
            return other, found
    return "", ""
