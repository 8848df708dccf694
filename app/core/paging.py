"""Lists in pages, newest first. The token of a page stays valid while rows are added and deleted."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import Select, literal, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.core.errors import Invalid, invalid

Row = TypeVar("Row")


@dataclass(frozen=True)
class Page(Generic[Row]):
    """One page of a list. rows: at most as many as asked for. next: token of the next page; None on the last one."""

    rows: Sequence[Row]
    next: str | None


def page(
    session: Session,
    select: Select[Row],
    created: InstrumentedAttribute[datetime],
    key: InstrumentedAttribute[Any],
    *,
    limit: int,
    token: str | None,
) -> Page[Row]:
    """At most `limit` rows of `select`, ordered by (created, key) descending.

    token: where the page begins; None for the first page. Raises `Invalid` for a token that no list returned.
    """
    if token:
        moment, id_ = _decode(token)
        last_seen = tuple_(literal(moment, created.type), literal(id_, key.type))
        select = select.where(tuple_(created, key) < last_seen)
    rows = session.scalars(select.order_by(created.desc(), key.desc()).limit(limit + 1)).all()
    if len(rows) <= limit:
        return Page(rows, None)
    last = rows[limit - 1]
    return Page(rows[:limit], encode(getattr(last, created.key), getattr(last, key.key)))


def encode(created: datetime, key: str) -> str:
    """The token of the page that begins after the row with this `created` and `key`."""
    return base64.urlsafe_b64encode(json.dumps([created.isoformat(), key]).encode()).decode().rstrip("=")


def check_token(token: str) -> None:
    """Raise `Invalid` for a token that no list returned."""
    _decode(token)


def _decode(token: str) -> tuple[datetime, str]:
    try:
        created, key = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        moment = datetime.fromisoformat(created)
        if moment.tzinfo is None or not isinstance(key, str) or not key.isprintable():
            raise ValueError(token)
        return moment.astimezone(UTC), key
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise bad_token() from error


def bad_token(pointer: str = "") -> Invalid:
    """The error for a token that no list returned. pointer: place of the token; "" for the value that is checked."""
    hint = "Start without a token, and use `next` of each answer unchanged as the token of the following request."
    return invalid("invalid-token", "The token is not one that a list returned.", hint, pointer)
