"""Idempotency-Key: the same request twice makes one thing."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.core.errors import invalid
from app.tables import IdempotencyKey

INSERT: dict[str, Callable[..., sqlite.Insert | postgresql.Insert]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}


@dataclass(frozen=True)
class Once:
    """A request that may come again. key: None when the client gave none; fingerprint: of method, path and body."""

    key: str | None
    fingerprint: str

    def earlier(self, session: Session, resource: str) -> str | None:
        """What the same request made before; None when this is the first, which will make `resource`.

        Works for many at once: the row is inserted in the transaction that makes the resource, so the others wait for
        it and then find it, and a request that is refused leaves the key free.
        """
        if self.key is None:
            return None
        row = {"key": self.key, "fingerprint": self.fingerprint, "resource": resource}
        insert = INSERT[session.get_bind().dialect.name](IdempotencyKey).values(row).on_conflict_do_nothing()
        if session.execute(insert.returning(IdempotencyKey.key)).first():
            return None
        first = session.get_one(IdempotencyKey, self.key)
        if first.fingerprint != self.fingerprint:
            raise invalid(
                "idempotency-key-reused",
                "This Idempotency-Key came with another request before.",
                "Use a new key for a new request; use the old key only to repeat the old request, byte for byte.",
            )
        return first.resource


FRESH = Once(None, "")
