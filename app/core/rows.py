"""Reads rows by their primary key."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.orm import Session

from app.core.columns import Base
from app.core.errors import NotFound

Row = TypeVar("Row", bound=Base)


def getter(table: type[Row], word: str) -> Callable[[Session, str], Row]:
    """A function that returns the row of `table` with an id, or raises `NotFound`. word: what such a row is called."""

    def get(session: Session, id_: str) -> Row:
        row = session.get(table, id_)
        if row is None:
            raise NotFound(word, id_)
        return row

    return get
