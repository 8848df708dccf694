"""Webhooks and the messages for them."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.columns import Base, Owned, OwnedId, keep_as_json, now
from app.results import DeliveryAttempt
from app.tables.mixins import Revised, Titled

keep_as_json(list[str], list[DeliveryAttempt])


class Webhook(Titled, Owned, Revised, Base):
    """An address of a tenant to which messages about its events are sent.

    secret: With which they are signed. old_secret: With which they are signed as well until `old_secret_until`.
    disabled: Why nothing is sent; None while it is enabled.
    failing_since: Since when no message was accepted; None if the last one was, or none was sent.
    """

    __tablename__ = "webhooks"

    id: Mapped[str] = mapped_column(OwnedId(100), primary_key=True)
    url: Mapped[str] = mapped_column(Text)
    events: Mapped[list[str] | None]  # None for all
    secret: Mapped[str] = mapped_column(String(100))
    old_secret: Mapped[str | None] = mapped_column(String(100))
    old_secret_until: Mapped[datetime | None]
    disabled: Mapped[str | None] = mapped_column(Text)
    failing_since: Mapped[datetime | None]
    updated: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (Index("ix_webhooks_created", "tenant", "created", "id"),)


_IS_DUE = text("due IS NOT NULL")  # an index of these rows is small: most deliveries have ended


class Delivery(Owned, Base):
    """A message for a webhook, written in the transaction of what it tells. `app.webhooks.deliveries` moves its status.

    event: Id of the event, the same for all webhooks that are told of it. body: The message, as it is signed and sent.
    tries: Attempts since the delivery began, or began anew. attempt: Attempts in all, the fencing token of who sends.
    due: When to try next, or while it is sent, when another one may try; None when it has ended.
    attempts: The last attempts that have ended.
    """

    __tablename__ = "deliveries"

    id: Mapped[str] = mapped_column(OwnedId(100), primary_key=True)
    webhook: Mapped[str] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    event: Mapped[str] = mapped_column(String(100))  # plain: receivers know no tenants
    type: Mapped[str] = mapped_column(String(40))
    body: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(12), default="pending")
    tries: Mapped[int] = mapped_column(default=0)
    attempt: Mapped[int] = mapped_column(default=0)
    due: Mapped[datetime | None] = mapped_column(default=now)
    attempts: Mapped[list[DeliveryAttempt]] = mapped_column(default=list)
    created: Mapped[datetime] = mapped_column(default=now)
    ended: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_deliveries_created", "webhook", "created", "id"),
        Index("ix_deliveries_due", "due", postgresql_where=_IS_DUE, sqlite_where=_IS_DUE),
        Index("ix_deliveries_ended", "ended"),
    )
