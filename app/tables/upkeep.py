"""Damaged files, how far their check has come, and the numbers of what was deleted."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.columns import Base, Owned, OwnedId, now


class DamagedFile(Base):
    """A file that is missing from the store, or whose bytes are not those that were stored.

    key: Of the file. owner: What it belongs to, in words that clients know. found: When it was found so.
    """

    __tablename__ = "damaged_files"

    key: Mapped[str] = mapped_column(String(500), primary_key=True)
    owner: Mapped[str] = mapped_column(String(200))
    fault: Mapped[str] = mapped_column(String(20))
    found: Mapped[datetime] = mapped_column(default=now)


class Scrub(Base):
    """How far the check of all stored files has come: there is one row, with the resource that is checked now.

    kind, thing: Both are "" between two rounds. began, ended: Of the last round; ended is None while it goes on.
    """

    __tablename__ = "scrub"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(20), default="")
    thing: Mapped[str] = mapped_column(OwnedId(100), default="")
    began: Mapped[datetime | None]
    ended: Mapped[datetime | None]


class DeletedNumber(Owned, Base):
    """The largest number of the deleted versions of a dataset or a model. It is never given to another version."""

    __tablename__ = "deleted_numbers"

    kind: Mapped[str] = mapped_column(String(20), primary_key=True)
    name: Mapped[str] = mapped_column(OwnedId(80, shared=True), primary_key=True)
    number: Mapped[int]
