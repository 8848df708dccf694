"""Keys of tenants: made, listed, rotated and revoked. A key is shown once, when it is made."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.access import secret_text, tenants
from app.core.columns import now
from app.core.errors import Conflict
from app.core.idempotency import FRESH, IdempotentRequest
from app.core.paging import Page, page
from app.core.preconditions import ANY, IfMatch
from app.core.rows import getter
from app.requests.access import Scope
from app.tables import Key

OVERLAP = timedelta(days=1)  # for which a rotated key is valid beside the new one, if nothing else is said

get = getter(Key, "key")
locked = getter(Key, "key", lock=True)


@dataclass(frozen=True)
class NewKey:
    """A key that was just made. text: The key itself, which can never be read again."""

    row: Key
    text: str


def create(
    session: Session,
    tenant: str,
    name: str,
    scope: Scope,
    lifetime: timedelta | None = None,
    once: IdempotentRequest = FRESH,
) -> NewKey:
    """Make a key of a tenant. lifetime: None if it never expires.

    Raises `NotFound` for an unknown tenant, `Conflict` if the same request made a key before.
    """
    tenants.get(session, tenant)
    id_ = secret_text.new_key_id()
    if earlier := once.earlier(session, id_):
        raise _shown_before(earlier)
    text = secret_text.new_key(id_)
    expires = now() + lifetime if lifetime is not None else None
    row = Key(tenant=tenant, id=id_, name=name, scope=scope, sha256=secret_text.digest(text), expires=expires)
    session.add(row)
    session.flush()
    return NewKey(row, text)


def find(session: Session, tenant: str | None, *, limit: int, token: str | None) -> Page[Key]:
    """A page of keys, newest first, also of those that are refused now. tenant: None for those of all in the scope."""
    wanted = select(Key) if tenant is None else select(Key).where(Key.tenant == tenant)
    return page(session, wanted, Key.created, Key.id, limit=limit, token=token)


def revoke(session: Session, id_: str, if_match: IfMatch = ANY) -> Key:
    """Refuse a key from now on. To revoke it again changes nothing. Raises `NotFound`, `PreconditionFailed`."""
    row = locked(session, id_)
    if_match.check(row.tag)
    if row.revoked is None:
        row.revoked, row.revision = now(), row.revision + 1
    session.flush()
    return row


def rotate(session: Session, id_: str, overlap: timedelta = OVERLAP, once: IdempotentRequest = FRESH) -> NewKey:
    """Make a new key like this one, which expires after `overlap`. The new one is valid for as long as this one was.

    Raises `NotFound`, or `Conflict` for a key that is refused already, or if the same request made a key before.
    """
    row, moment = locked(session, id_), now()
    if is_refused(row, moment):
        raise Conflict("key-ended", f"Key {id_!r} was revoked or has expired. Create a new one.")
    lifetime = row.expires - row.created if row.expires else None
    row.expires = min(row.expires, moment + overlap) if row.expires else moment + overlap
    row.revision += 1
    return create(session, row.tenant, row.name, scope_of(row), lifetime, once)


def _shown_before(id_: str) -> Conflict:
    detail = f"This request made key {id_!r} before. A key is shown only once."
    return Conflict("key-shown", f"{detail} If you have lost it, revoke it and make another one.")


def is_refused(row: Key, moment: datetime) -> bool:
    """Whether a key is revoked or has expired."""
    return row.revoked is not None or (row.expires is not None and row.expires <= moment)


def scope_of(row: Key) -> Scope:
    """What a key allows."""
    scope: Scope = row.scope  # type: ignore[assignment]  # the database has only scopes
    return scope
