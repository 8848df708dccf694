"""Webhooks are switched on and off, by their tenant or because their receiver fails."""

from sqlalchemy import update
from sqlalchemy.orm import Session

from app.core.columns import now
from app.core.errors import Conflict
from app.tables import Delivery, Webhook


def enable(session: Session, row: Webhook) -> None:
    """Send to a webhook again, first what has waited. row: Locked."""
    row.disabled, row.failing_since = None, None
    _let_wait(session, row, due=now())


def disable(session: Session, row: Webhook, why: str) -> None:
    """Send nothing to a webhook; what waits for it goes on waiting. row: Locked. why: A sentence."""
    row.disabled, row.revision, row.updated = why, row.revision + 1, now()
    _let_wait(session, row, due=None)


def check_enabled(row: Webhook) -> None:
    """Raise `Conflict` for a webhook to which nothing is sent."""
    if row.disabled:
        raise Conflict("webhook-disabled", f"Webhook {row.id!r} is disabled. {row.disabled} Enable it first.")


def _let_wait(session: Session, row: Webhook, **until: object) -> None:
    waits = (Delivery.webhook == row.id, Delivery.status == "pending")
    session.execute(update(Delivery).where(*waits).values(**until))
