"""Tenants, their keys, what was done on whose behalf, and the secrets of the service."""

from datetime import date, datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.columns import TENANT_LENGTH, Base, Owned, OwnedId, keep_as_json, now
from app.requests.access import Limits
from app.tables.mixins import Revised, Titled

keep_as_json(list[str], Limits)


class Tenant(Titled, Revised, Base):
    """A portal that sees nothing but its own things. The first one, "local", belongs to whoever runs the service.

    grants: The models of other tenants that it may read and use, like "province~cane".
    limits: Those that are not the defaults of the service. pixels: Number of those that were to be mapped on
    `pixels_day`, a day of UTC.
    """

    __tablename__ = "tenants"

    id: Mapped[str] = mapped_column(String(TENANT_LENGTH), primary_key=True)
    grants: Mapped[list[str]] = mapped_column(default=list, server_default="[]")
    limits: Mapped[Limits] = mapped_column(default=Limits(), server_default="{}")
    pixels_day: Mapped[date | None]
    pixels: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")


class Key(Owned, Revised, Base):
    """A key of a tenant, with which its programs are let in. The key itself is nowhere.

    scope: What the key allows, one of `app.access.keys.SCOPES`. sha256: of the whole key, in hex.
    expires, revoked: From these times on it is refused; None if there is no such time.
    last_used: The minute of its last use, about; None if it was never used.
    """

    __tablename__ = "keys"

    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.id"), sort_order=-1)
    id: Mapped[str] = mapped_column(String(8), primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    scope: Mapped[str] = mapped_column(String(10))
    sha256: Mapped[str] = mapped_column(String(64))
    expires: Mapped[datetime | None]
    revoked: Mapped[datetime | None]
    last_used: Mapped[datetime | None]

    __table_args__ = (Index("ix_keys_created", "tenant", "created", "id"),)


class AuditEntry(Owned, Base):
    """One transaction that has changed something on somebody's behalf. Entries are never changed.

    who, action, peer, request: As those of `app.core.acting.Act`. made: Id of what is new, if anything is.
    """

    __tablename__ = "audit"

    id: Mapped[str] = mapped_column(OwnedId(100), primary_key=True)
    at: Mapped[datetime] = mapped_column(default=now)
    who: Mapped[str] = mapped_column(String(100))
    action: Mapped[str] = mapped_column(Text)
    made: Mapped[str | None] = mapped_column(String(200))
    peer: Mapped[str | None] = mapped_column(String(60))
    request: Mapped[str | None] = mapped_column(String(40))

    __table_args__ = (Index("ix_audit_at", "tenant", "at", "id"),)


class Secret(Base):
    """A secret that all processes of a service share. value: in hex."""

    __tablename__ = "secrets"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[str] = mapped_column(String(64))
