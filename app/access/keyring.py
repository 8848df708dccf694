"""Who shows a key: the database is asked, and the answer is remembered for some seconds."""

import hmac
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update

from app.access import keys, secret_text
from app.access.scopes import Principal, Refused
from app.core import tenancy
from app.core.columns import now
from app.core.db import Database
from app.tables import Key

TRUSTED_S = 5.0  # a key that was revoked through another process is refused after this time
RECORD_S = 30.0  # between two records of when keys were used
MOST = 10_000  # keys that are remembered
EXACTNESS = timedelta(minutes=1)  # of the recorded times of use
_NO_KEY = "0" * 64


@dataclass
class Keyring:
    """Finds whom a key belongs to, and records when keys are used."""

    database: Database
    _known: dict[str, tuple[float, Principal, datetime | None]] = field(default_factory=dict)  # by digest
    _checked: dict[str, float] = field(default_factory=dict)  # by id, until when it is trusted
    _used: dict[str, datetime] = field(default_factory=dict)  # by id
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def remembered(self, key: str) -> Principal | None:
        """Whose key this is, if it was asked for lately. Quick enough for an event loop. Raises `Refused`."""
        until, principal, expires = self._known.get(secret_text.digest(key), (0.0, None, None))
        if principal is None or time.monotonic() >= until:
            return None
        return self._let_in(principal, expires)

    def find(self, key: str) -> Principal:
        """Whose key this is. Raises `Refused`."""
        id_ = secret_text.id_in(key)
        if id_ is None:
            raise Refused("unknown-key")
        with tenancy.acting_for(tenancy.ALL), self.database.read() as session:
            row = session.get(Key, id_)
        # as long for an id that nobody has as for one that somebody has
        same = hmac.compare_digest(row.sha256 if row else _NO_KEY, secret_text.digest(key))
        if row is None or not same or row.revoked is not None:
            raise Refused("unknown-key")
        principal = Principal(row.tenant, keys.scope_of(row), row.id)
        with self._lock:
            _make_room(self._known)
            self._known[row.sha256] = (time.monotonic() + TRUSTED_S, principal, row.expires)
        return self._let_in(principal, row.expires)

    def check(self, id_: str) -> None:
        """Raise `Refused` if the key with this id lets nobody in any more."""
        if time.monotonic() < self._checked.get(id_, 0.0):
            return
        with tenancy.acting_for(tenancy.ALL), self.database.read() as session:
            row = session.get(Key, id_)
        if row is None or row.revoked is not None:
            raise Refused("unknown-key")
        if keys.is_refused(row, now()):
            raise Refused("expired-key")
        with self._lock:
            _make_room(self._checked)
            self._checked[id_] = time.monotonic() + TRUSTED_S

    def _let_in(self, principal: Principal, expires: datetime | None) -> Principal:
        moment = now()
        if expires is not None and expires <= moment:
            raise Refused("expired-key")
        if principal.key_id is not None:
            self._used[principal.key_id] = moment
        return principal

    def forget(self) -> None:
        """Ask the database for every key again, because one was changed here."""
        with self._lock:
            self._known.clear()
            self._checked.clear()

    def record(self) -> None:
        """Write down when keys were used since the last call."""
        used, self._used = self._used, {}
        if not used:
            return
        with tenancy.acting_for(tenancy.ALL):
            with self.database.read() as session:
                rows = session.execute(select(Key.id, Key.last_used).where(Key.id.in_(used)))
                old = [id_ for id_, last in rows if last is None or last < used[id_] - EXACTNESS]
            if not old:
                return
            with self.database.write() as session:
                for id_ in old:
                    session.execute(update(Key).where(Key.id == id_).values(last_used=used[id_]))


def _make_room(known: dict[str, Any]) -> None:
    while len(known) >= MOST:
        known.pop(next(iter(known)))
