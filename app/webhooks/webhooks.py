"""Webhooks of tenants: registered, changed, given another secret, tried and deleted."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.columns import now
from app.core.errors import Conflict
from app.core.idempotency import IdempotentRequest
from app.core.names import new_id
from app.core.paging import Page, page
from app.core.preconditions import ANY, IfMatch
from app.core.rows import getter
from app.requests.webhooks import WebhookPatch, WebhookRequest
from app.tables import Delivery, Tenant, Webhook
from app.webhooks import deliveries, outbox, signing, switching
from app.webhooks.outbox import Message, TestData

MOST = 20  # webhooks of one tenant: each event is written once for each of them
BY_REQUEST = "It was disabled on request."
get = getter(Webhook, "webhook")
locked = getter(Webhook, "webhook", lock=True)


@dataclass(frozen=True)
class NewSecret:
    """A webhook with the secret that was just made for it, which is shown only now."""

    row: Webhook
    secret: str


def create(session: Session, tenant: str, request: WebhookRequest, once: IdempotentRequest) -> NewSecret:
    """Register a webhook of the current tenant. Its URL was checked before.

    Raises `Conflict` if the tenant has too many, or if the same request registered one before.
    """
    id_ = new_id("whk")
    _show_once(session, once, id_)
    session.get(Tenant, tenant, with_for_update=True)  # so that two requests do not count the same webhooks
    if (session.scalar(select(func.count()).select_from(Webhook)) or 0) >= MOST:
        raise Conflict("too-many-webhooks", f"There are {MOST} webhooks already. Delete one, or change its address.")
    secret = signing.new_secret()
    row = Webhook(id=id_, url=request.url, events=request.events, title=request.title, secret=secret)
    session.add(row)
    session.flush()
    return NewSecret(row, secret)


def find(session: Session, *, limit: int, token: str | None) -> Page[Webhook]:
    """A page of webhooks, newest first."""
    return page(session, select(Webhook), Webhook.created, Webhook.id, limit=limit, token=token)


def patch(session: Session, id_: str, change: WebhookPatch, if_match: IfMatch = ANY) -> Webhook:
    """Change the fields that `change` has. Its URL was checked before.

    What waits for a webhook that is disabled waits until it is enabled again. Raises `NotFound`, `PreconditionFailed`.
    """
    row = locked(session, id_)
    if_match.check(row.tag)
    for name in change.model_fields_set - {"enabled"}:
        value = getattr(change, name)
        if value is not None or name != "url":
            setattr(row, name, value)
    if change.enabled is True and row.disabled:
        switching.enable(session, row)
    elif change.enabled is False and not row.disabled:
        switching.disable(session, row, BY_REQUEST)
    row.updated, row.revision = now(), row.revision + 1
    session.flush()
    return row


def rotate(session: Session, id_: str, overlap: timedelta, once: IdempotentRequest) -> NewSecret:
    """Make a new secret. Messages are signed with the old one as well until `overlap` has passed.

    Raises `NotFound`, or `Conflict` if the same request made a secret before.
    """
    row = locked(session, id_)
    _show_once(session, once, id_)
    secret = signing.new_secret()
    row.old_secret, row.old_secret_until, row.secret = row.secret, now() + overlap, secret
    row.updated, row.revision = now(), row.revision + 1
    session.flush()
    return NewSecret(row, secret)


def test(session: Session, id_: str, once: IdempotentRequest) -> Delivery:
    """Send a message that tells nothing. Raises `NotFound`, or `Conflict` while the webhook is disabled."""
    row, event = locked(session, id_), new_id("evt")
    if earlier := once.earlier(session, event):
        return deliveries.of_event(session, id_, earlier)
    switching.check_enabled(row)
    message = Message(type="webhook.test", timestamp=now(), data=TestData(webhook=row.id))
    return outbox.add_to(session, row, message, event)


def delete(session: Session, id_: str, if_match: IfMatch = ANY) -> None:
    """Delete a webhook and its deliveries, also those that wait. Raises `NotFound`, `PreconditionFailed`."""
    row = locked(session, id_)
    if_match.check(row.tag)
    session.delete(row)


def _show_once(session: Session, once: IdempotentRequest, id_: str) -> None:
    """Raise `Conflict` if the same request was answered with a secret before."""
    if earlier := once.earlier(session, id_):
        detail = f"This request was answered with the secret of webhook {earlier!r} before."
        raise Conflict("secret-shown", f"{detail} A secret is shown only once. If you have lost it, make a new one.")
