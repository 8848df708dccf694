"""The documents of keys and tenants."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from app import tables
from app.access import keys
from app.access.scopes import Principal
from app.access.usage import Usage
from app.api.documents.base import Document, Page, Title
from app.core.columns import now
from app.requests.access import Limits, Scope

Grants = Annotated[
    tuple[str, ...], Field(description="Models of other tenants that it may read and use, like province~cane.")
]


class Key(Document):
    """A key, without its secret, which is shown only when the key is made."""

    id: str
    name: str
    tenant: str
    scope: Scope
    status: Literal["live", "expired", "revoked"]
    created: datetime
    expires: datetime | None
    revoked: datetime | None
    last_used: datetime | None = Field(description="To the minute; null if it was never used.")

    @classmethod
    def of(cls, row: tables.Key) -> "Key":
        """The document of the key in `row`."""
        return cls(status=_status(row), **{name: getattr(row, name) for name in cls.model_fields if name != "status"})


def _status(row: tables.Key) -> Literal["live", "expired", "revoked"]:
    if row.revoked is not None:
        return "revoked"
    return "expired" if keys.is_refused(row, now()) else "live"


class NewKey(Document):
    """A key that was just made. `key` is shown only now: keep it."""

    id: str
    key: str
    name: str
    tenant: str
    scope: Scope
    created: datetime
    expires: datetime | None

    @classmethod
    def of(cls, made: keys.NewKey) -> "NewKey":
        """The document of a new key."""
        known = {name: getattr(made.row, name) for name in cls.model_fields if name != "key"}
        return cls(key=made.text, **known)


class AuditEntry(Document):
    """One change: who made it, and by what. Entries are never changed, and cannot be deleted by a request."""

    id: str
    at: datetime
    tenant: str = Field(description="In whose name it was made.")
    who: str = Field(description='"key ID", "schedule NAME", "command line", or "loopback", where no key is needed.')
    action: str = Field(description='Method and path of a request, a command, or "run" of a schedule.')
    made: str | None = Field(description="Id of what is new; the version at which a moved alias points.")
    peer: str | None = Field(description="The address from which the request came.")
    request: str | None = Field(description="As X-Request-ID of the answer, and in the log of the service.")

    @classmethod
    def of(cls, row: tables.AuditEntry) -> "AuditEntry":
        """The document of the entry in `row`."""
        return cls(**{name: getattr(row, name) for name in cls.model_fields})


class AuditEntries(Page[AuditEntry]):
    """A page of the audit log, newest first."""


class Keys(Page[Key]):
    """A page of keys, newest first."""


class Sender(Document):
    """Who sends a request: the tenant whose things it sees, and what it may do."""

    tenant: str
    scope: Scope
    key: str | None = Field(description="Id of the key; null where the service asks for none.")
    grants: Grants

    @classmethod
    def of(cls, principal: Principal, grants: tuple[str, ...]) -> "Sender":
        """The document of whoever sent a request. grants: models of other tenants that it may use."""
        return cls(tenant=principal.tenant, scope=principal.scope, key=principal.key_id, grants=grants)


class SignedUrl(Document):
    """An address that works without a key until it expires. It stands for a key: pass it on as carefully."""

    url: str
    expires: datetime


class Tenant(Document):
    """A portal that sees nothing but its own things."""

    id: str
    title: Title
    created: datetime
    grants: Grants
    limits: Limits = Field(description="Those that were set for it; null where the default of the service holds.")

    @classmethod
    def of(cls, row: tables.Tenant) -> "Tenant":
        """The document of the tenant in `row`."""
        grants = tuple(row.grants)
        return cls(id=row.id, title=row.title, created=row.created, grants=grants, limits=row.limits)


class TenantDetails(Tenant):
    """A tenant, with what it may use and what it has used."""

    limits_in_force: Limits = Field(description="What holds: its own limits, or else the defaults; 0 is no limit.")
    used: Usage

    @classmethod
    def showing(cls, row: tables.Tenant, in_force: Limits, used: Usage) -> "TenantDetails":
        """The document of the tenant in `row`, with the limits that hold."""
        return cls(**Tenant.of(row).model_dump(), limits_in_force=in_force, used=used)


class Tenants(Page[Tenant]):
    """A page of tenants, newest first."""
