"""The outbox: messages are written in the transaction of what they tell, so there is one exactly if that happened."""

from datetime import datetime
from typing import Literal

from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core import tenancy
from app.core.columns import now
from app.core.errors import ProblemDocument
from app.core.names import new_id
from app.requests.webhooks import EventType
from app.tables import Delivery, Webhook
from ml.frozen import Frozen


class MessageLink(Frozen):
    """A link of a message. href: A path on the service."""

    href: str
    rel: Literal["self", "related"]


class JobData(Frozen):
    """What a message tells of a job that has ended, in the words of its document."""

    job_id: str = Field(serialization_alias="jobID")
    process_id: str = Field(serialization_alias="processID")
    status: Literal["successful", "failed", "dismissed"]
    message: str
    created: datetime
    started: datetime | None
    finished: datetime | None
    attempt: int
    parent: str | None = Field(description="Id of the experiment to which a training belongs.")
    error: ProblemDocument | None
    links: tuple[MessageLink, ...] = Field(description="The job (self) and its result (related).")


class AliasData(Frozen):
    """What a message tells of an alias that was moved or removed."""

    model: str
    alias: str
    version: int | None = Field(description="null if it was removed.")
    reason: str
    links: tuple[MessageLink, ...] = Field(description="The model (related).")


class TestData(Frozen):
    """What a message tells that was only asked for to test a webhook."""

    webhook: str


class Message(Frozen):
    """The body of a message. timestamp: When the event happened, the same in each attempt."""

    type: EventType | Literal["webhook.test"]
    timestamp: datetime
    data: JobData | AliasData | TestData


def add(session: Session, tenant: str, type_: EventType, data: JobData | AliasData) -> None:
    """Write a message for each webhook of a tenant that is enabled and wants it, in the transaction of the event."""
    # the lock keeps a webhook from being deleted before the commit, which would then fail, and the event with it
    enabled = select(Webhook).where(Webhook.tenant == tenant, Webhook.disabled.is_(None))
    found = session.scalars(enabled.with_for_update(read=True, key_share=True)).all()
    event, moment = new_id("evt"), now()
    for webhook in found:
        if webhook.events is None or type_ in webhook.events:
            add_to(session, webhook, Message(type=type_, timestamp=moment, data=data), event)


def add_to(session: Session, webhook: Webhook, message: Message, event: str) -> Delivery:
    """Write a message for one webhook. event: Id of the event."""
    with tenancy.acting_for(webhook.tenant):
        id_ = tenancy.whole(new_id("dlv"))
    body = message.model_dump_json(by_alias=True)
    row = Delivery(id=tenancy.plain(id_), webhook=webhook.id, event=event, type=message.type, body=body)
    session.add(row)
    session.flush()
    return row
