"""Idempotency-Key: a request that is sent twice creates only one resource."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import String
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.core.columns import Base, Owned, OwnedId, now
from app.core.errors import invalid

INSERT: dict[str, Callable[..., sqlite.Insert | postgresql.Insert]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}


class IdempotencyKey(Owned, Base):
    """The first use of an Idempotency-Key. fingerprint: of the request. resource: id of what the request created."""

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

        Simultaneous requests are safe: the row is inserted in the transaction that creates the resource, so the others
        wait for it and then find it. A request that is refused leaves the key unused.

        Raises `Invalid` when the key was used with another request.
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
        return first.resource


FRESH = IdempotentRequest(None, "")
