"""Reads rows by their primary key."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.orm import Session

from app.core.columns import Base
from app.core.errors import NotFound

Row = TypeVar("Row", bound=Base)


def getter(table: type[Row], word: str, *, lock: bool = False) -> Callable[[Session, str], Row]:
    """A function that returns the row of `table` with an id, or raises `NotFound`. word: what such a row is called.

    lock: Lock the row until the end of the transaction; no other one can then change it, or add rows that refer to it.
    """

    def get(session: Session, id_: str) -> Row:
        row = session.get(table, id_, with_for_update=lock or None)
        if row is None:
            raise NotFound(word, id_)
        return row

    return get
