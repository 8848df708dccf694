"""Idempotency-Key: a request that is sent twice creates only one resource."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import String, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.core.columns import Base, Owned, OwnedId, now
from app.core.errors import Conflict, invalid

INSERT: dict[str, Callable[..., sqlite.Insert | postgresql.Insert]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}


class IdempotencyKey(Owned, Base):
    """The first use of an Idempotency-Key. fingerprint: of the request.

    resource: Id of what the request created. Before it stands "kind/" where the id may be given to another thing later.
    It is "" once that thing is deleted.
    """

    __tablename__ = "idempotency_keys"

    key: Mapped[str] = mapped_column(OwnedId(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    resource: Mapped[str] = mapped_column(String(100))  # plain: in answers to its own tenant alone
    created: Mapped[datetime] = mapped_column(default=now)


@dataclass(frozen=True)
class IdempotentRequest:
    """A request that may be repeated. key: its Idempotency-Key, if any. fingerprint: hash of method, path and body."""

    key: str | None
    fingerprint: str

    def with_body(self, body: bytes) -> "IdempotentRequest":
        """The same request with this body, or with what identifies it, as a part of the fingerprint."""
        return replace(self, fingerprint=hashlib.sha256(self.fingerprint.encode() + body).hexdigest())

    def earlier(self, session: Session, resource: str) -> str | None:
        """The id of what the same request created before; None for the first one, which will create `resource`.

        resource: Its id, or "kind/id" if the id is a name that another thing may have later; see `forget`.

        Simultaneous requests are safe: the row is inserted in the transaction that creates the resource, so the others
        wait for it and then find it. A request that is refused leaves the key unused.

        Raises `Invalid` when the key was used with another request, `Conflict` when what it made was deleted.
        """
        if self.key is None:
            return None
        row = {"key": self.key, "fingerprint": self.fingerprint, "resource": resource}
        insert = INSERT[session.get_bind().dialect.name](IdempotencyKey).values(row).on_conflict_do_nothing()
        if session.execute(insert.returning(IdempotencyKey.key)).first():
            return None
        return self._same(session.get_one(IdempotencyKey, self.key))

    def answered(self, session: Session) -> str | None:
        """The id of what the same request created before, or None. Nothing is recorded.

        With it a request that is repeated, or refused, needs no transaction that writes. Raises as `earlier` does.
        """
        first = session.get(IdempotencyKey, self.key) if self.key is not None else None
        return self._same(first) if first else None

    def _same(self, first: IdempotencyKey) -> str:
        if first.fingerprint != self.fingerprint:
            raise invalid(
                "idempotency-key-reused",
                "This Idempotency-Key was used with another request before.",
                "Use a new key for a new request; use the old key only to repeat the old request, byte for byte.",
            )
        if not first.resource:
            raise Conflict(
                "deleted-since",
                "What this request made was deleted since. To make it again, use a new Idempotency-Key.",
            )
        return first.resource.rpartition("/")[2]


def forget(session: Session, kind: str, ids: Iterable[str]) -> None:
    """Let no key answer with what gets the name of something that is deleted now.

    kind, ids: As `IdempotentRequest.earlier` was given them, "kind/id".
    """
    gone = IdempotencyKey.resource.in_([f"{kind}/{id_}" for id_ in ids])
    session.execute(update(IdempotencyKey).where(gone).values(resource=""))


FRESH = IdempotentRequest(None, "")
