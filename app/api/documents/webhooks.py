"""The documents of webhooks and their deliveries."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from app import tables
from app.api.documents.base import Document, Link, Page, Title, link
from app.requests.webhooks import EventType
from app.results import DeliveryAttempt
from app.webhooks.webhooks import NewSecret


class Webhook(Document):
    """An address to which messages about events are sent. Its secret is shown only when it is made."""

    id: str
    url: str
    events: tuple[EventType, ...] | None = Field(description="Of what it is told; null for everything.")
    title: Title
    enabled: bool
    why: str | None = Field(description="Why it is disabled; null while it is enabled.")
    failing_since: datetime | None = Field(description="Since when no message was accepted; null if the last one was.")
    old_secret_until: datetime | None = Field(
        description="Until when messages are signed with the secret before as well; null if there was none."
    )
    created: datetime
    updated: datetime
    links: tuple[Link, ...]

    @classmethod
    def of(cls, row: tables.Webhook) -> "Webhook":
        """The document of the webhook in `row`."""
        return cls(**_known(row))


def _known(row: tables.Webhook) -> dict[str, Any]:
    url = f"/v1/webhooks/{row.id}"
    links = (link(url, "self"), link(f"{url}/deliveries", "deliveries"))
    names = Webhook.model_fields.keys() - {"enabled", "why", "links"}
    given = {"enabled": row.disabled is None, "why": row.disabled, "links": links}
    return given | {name: getattr(row, name) for name in names}


class NewWebhook(Webhook):
    """A webhook whose secret was just made. `secret` is shown only now: keep it where messages are received."""

    secret: str

    @classmethod
    def with_secret(cls, made: NewSecret) -> "NewWebhook":
        """The document of a webhook with its new secret."""
        return cls(secret=made.secret, **_known(made.row))


class Webhooks(Page[Webhook]):
    """A page of webhooks, newest first."""


class Delivery(Document):
    """A message for a webhook, and the attempts to deliver it."""

    id: str
    webhook: str
    event: str = Field(description="Id of the event: the header webhook-id of each attempt.")
    type: EventType | Literal["webhook.test"]
    status: Literal["pending", "sending", "delivered", "failed"]
    created: datetime
    ended: datetime | None
    next_attempt: datetime | None = Field(
        description="When it is tried next; null if it has ended, is being sent or waits for its webhook to be enabled."
    )
    attempts: tuple[DeliveryAttempt, ...] = Field(description="The last 20 attempts that have ended.")
    body: str = Field(description="The message, as it is signed and sent: JSON.")

    @classmethod
    def of(cls, row: tables.Delivery) -> "Delivery":
        """The document of the delivery in `row`."""
        known = {name: getattr(row, name) for name in cls.model_fields if name != "next_attempt"}
        return cls(next_attempt=row.due if row.status == "pending" else None, **known)


class Deliveries(Page[Delivery]):
    """A page of the deliveries of a webhook, newest first."""
