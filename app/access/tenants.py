"""Tenants: portals that share the service and do not see each other."""

import re

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.columns import TENANT_LENGTH
from app.core.errors import invalid
from app.core.paging import Page, page
from app.core.preconditions import ANY, IfMatch
from app.core.rows import getter
from app.requests.access import Limits
from app.tables import Tenant

NAME = re.compile(rf"[A-Za-z0-9_-][A-Za-z0-9._-]{{0,{TENANT_LENGTH - 1}}}")

get = getter(Tenant, "tenant")
locked = getter(Tenant, "tenant", lock=True)


def check_name(name: str) -> None:
    """Raise `Invalid` if no tenant can have this name."""
    if not NAME.fullmatch(name):
        hint = f"Use 1 to {TENANT_LENGTH} of A-Z a-z 0-9 . _ and -, of which the first is not a dot."
        raise invalid("invalid-tenant", "This cannot be the name of a tenant.", hint)


def put(
    session: Session, id_: str, title: str | None, if_match: IfMatch = ANY, limits: Limits | None = None
) -> tuple[Tenant, bool]:
    """Make a tenant, or change its title. Returns it, and whether it is new.

    limits: All its limits from now on; None leaves them as they are.

    Raises `Invalid` for a wrong name, `PreconditionFailed` if it has changed or must exist.
    """
    check_name(id_)
    row = session.get(Tenant, id_)
    new = row is None
    if_match.check(row.tag if row else None)
    if row is None:
        row = Tenant(id=id_, revision=0, limits=Limits())
        session.add(row)
    row.title, row.revision, row.limits = title, row.revision + 1, limits or row.limits
    session.flush()
    return row, new


def ensure(session: Session, id_: str) -> None:
    """Make a tenant if there is none of this name. Raises `Invalid` for a wrong name."""
    if session.get(Tenant, id_) is None:
        put(session, id_, None)


def find(session: Session, *, limit: int, token: str | None) -> Page[Tenant]:
    """A page of all tenants, newest first."""
    return page(session, select(Tenant), Tenant.created, Tenant.id, limit=limit, token=token)
