"""The deliveries of webhooks, and the attempts at them. The status of a delivery is one of

    pending -> sending -> delivered | failed
    sending -> pending      when an attempt failed, or whoever made it stopped
    delivered | failed | pending -> pending    when somebody asks for it once more

Whoever sends claims the delivery with one guarded UPDATE, which raises `attempt`, and has it until `due`. If nothing is
recorded until then, because the process was killed, another one sends the same message again, with the same id.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from app.core.columns import now
from app.core.errors import Conflict, NotFound
from app.core.idempotency import IdempotentRequest
from app.core.paging import Page, page
from app.results import DeliveryAttempt
from app.tables import Delivery, Webhook
from app.webhooks import switching
from app.webhooks.sending import GONE, Answer

MOST_ATTEMPTS = 20  # that a delivery remembers
JITTER = 0.2  # of a pause, at most: so that not all messages come back at once
FAILED_LONG = "Every attempt at a delivery has failed, and no other message was accepted meanwhile."
ENDS = "The receiver answered 410: it wants no more messages."


@dataclass(frozen=True)
class Claim:
    """The right to make one attempt at a delivery.

    keys: The secrets with which to sign. fails: Whether the last message to the webhook was not accepted.
    """

    delivery: str
    webhook: str
    attempt: int
    url: str
    keys: tuple[str, ...]
    event: str
    body: str
    fails: bool


def find(session: Session, webhook: str, *, limit: int, token: str | None) -> Page[Delivery]:
    """A page of the deliveries of a webhook, newest first."""
    wanted = select(Delivery).where(Delivery.webhook == webhook)
    return page(session, wanted, Delivery.created, Delivery.id, limit=limit, token=token)


def of(session: Session, webhook: str, id_: str, *, lock: bool = False) -> Delivery:
    """A delivery of a webhook. Raises `NotFound`."""
    row = session.get(Delivery, id_, with_for_update=lock or None) if id_.isprintable() else None
    if row is None or row.webhook != webhook:
        raise NotFound("delivery", id_ if id_.isprintable() else "?")
    return row


def of_event(session: Session, webhook: str, event: str) -> Delivery:
    """The delivery that tells a webhook of an event. Raises `NotFound`."""
    row = session.scalar(select(Delivery).where(Delivery.webhook == webhook, Delivery.event == event))
    if row is None:
        raise NotFound("delivery", event)
    return row


def redeliver(session: Session, webhook: Webhook, id_: str, once: IdempotentRequest) -> Delivery:
    """Send a message once more, as soon as possible, with the same id; failed attempts are repeated as at first.

    webhook: Locked. Raises `NotFound`, or `Conflict` while it is being sent or the webhook is disabled.
    """
    row = of(session, webhook.id, id_, lock=True)
    if once.earlier(session, id_):
        return row
    switching.check_enabled(webhook)
    if row.status == "sending" and row.due and row.due > now():
        raise Conflict("delivery-goes-on", f"Delivery {id_!r} is being sent at this moment.")
    row.status, row.tries, row.due, row.ended = "pending", 0, now(), None
    session.flush()
    return row


def claim(session: Session, moment: datetime, lease: timedelta, *, of_webhook: str, most: int) -> list[Claim]:
    """Claim the deliveries of a webhook that are due for the longest time, `most` at most."""
    webhook = session.get(Webhook, of_webhook)
    if webhook is None or webhook.disabled:
        return []
    due = select(Delivery.id, Delivery.attempt).where(Delivery.webhook == of_webhook, *_is_due(moment))
    candidates = session.execute(due.order_by(Delivery.due, Delivery.id).limit(most)).all()
    claimed = (_claim(session, id_, attempt, moment, lease) for id_, attempt in candidates)
    return [_told(row, webhook, moment) for row in claimed if row is not None]


def _claim(session: Session, id_: str, attempt: int, moment: datetime, lease: timedelta) -> Delivery | None:
    """Claim a delivery, unless another process was quicker."""
    values = {"status": "sending", "attempt": Delivery.attempt + 1, "tries": Delivery.tries + 1, "due": moment + lease}
    guards = (Delivery.id == id_, Delivery.attempt == attempt, *_is_due(moment))
    return session.scalar(update(Delivery).where(*guards).values(**values).returning(Delivery))


def _told(row: Delivery, webhook: Webhook, moment: datetime) -> Claim:
    keys = [webhook.secret]
    if webhook.old_secret and webhook.old_secret_until and webhook.old_secret_until > moment:
        keys.append(webhook.old_secret)
    fails = webhook.failing_since is not None
    return Claim(row.id, webhook.id, row.attempt, webhook.url, tuple(keys), row.event, row.body, fails)


def _is_due(moment: datetime) -> tuple[ColumnElement[bool], ...]:
    return (Delivery.due <= moment, Delivery.status.in_(("pending", "sending")))


def waiting(
    session: Session, moment: datetime, busy: Mapping[str, int], per_webhook: int
) -> Sequence[tuple[str, bool]]:
    """The webhooks for which deliveries are due, the longest first, and whether each of them fails.

    busy: Deliveries that this process sends to each webhook; those with `per_webhook` are left out.
    """
    full = [webhook for webhook, count in busy.items() if count >= per_webhook]
    wanted = select(Webhook.id, Webhook.failing_since.is_not(None)).join(Delivery, Delivery.webhook == Webhook.id)
    wanted = wanted.where(Webhook.disabled.is_(None), Webhook.id.not_in(full), *_is_due(moment))
    found = session.execute(wanted.group_by(Webhook.id).order_by(func.min(Delivery.due))).all()
    return [(id_, bool(fails)) for id_, fails in found]


def record(session: Session, claimed: Claim, answer: Answer, pauses: Sequence[float]) -> None:
    """Record an attempt that has ended, and what follows from it, unless the claim has been lost.

    pauses: Seconds before the second, the third, ... attempt.
    """
    # the end of a job, which holds a weaker lock of the webhook, does not wait for this one, nor this one for it
    webhook = session.get(Webhook, claimed.webhook, with_for_update={"key_share": True})
    mine = (Delivery.id == claimed.delivery, Delivery.status == "sending", Delivery.attempt == claimed.attempt)
    row = session.scalar(select(Delivery).where(*mine).with_for_update())
    if webhook is None or row is None:
        return
    told = {name: getattr(answer, name) for name in ("at", "seconds", "status_code", "detail")}
    ended = DeliveryAttempt(attempt=row.attempt, **told)
    row.attempts = [*row.attempts, ended][-MOST_ATTEMPTS:]
    if answer.accepted:
        _end(row, "delivered")
        webhook.failing_since = None
        return
    webhook.failing_since = webhook.failing_since or answer.at
    _after_a_failure(session, webhook, row, answer, pauses)


def _after_a_failure(
    session: Session, webhook: Webhook, row: Delivery, answer: Answer, pauses: Sequence[float]
) -> None:
    if answer.status_code != GONE and row.tries <= len(pauses):
        pause_s = pauses[row.tries - 1] * random.uniform(1, 1 + JITTER)
        row.status, row.due = "pending", None if webhook.disabled else now() + timedelta(seconds=pause_s)
        return
    _end(row, "failed")
    first = row.attempts[-row.tries :][0].at
    if webhook.disabled is None and answer.status_code == GONE:
        switching.disable(session, webhook, ENDS)
    elif webhook.disabled is None and webhook.failing_since and webhook.failing_since <= first:
        switching.disable(session, webhook, FAILED_LONG)


def _end(row: Delivery, status: str) -> None:
    row.status, row.due, row.ended = status, None, now()


def release(session: Session, claimed: Claim) -> None:
    """Give back a claim whose attempt was broken off here: another process makes it."""
    mine = (Delivery.id == claimed.delivery, Delivery.status == "sending", Delivery.attempt == claimed.attempt)
    session.execute(update(Delivery).where(*mine).values(status="pending", tries=Delivery.tries - 1, due=now()))
