"""Whether an error says that a disk is full, and what clients are told then."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from app.core.errors import NoRoom
from ml.faults import Fault

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_DISK_FULL = "53100"  # the SQLSTATE with which PostgreSQL says so
_HINT = (
    "Delete scenes, labels or predictions that nobody needs, which works on a full disk too, or ask whoever runs the "
    "service for room. Then send the request again."
)


def says_no_room(error: BaseException | None) -> bool:
    """Whether `error`, or an error from which it was raised, says that a disk is full: also errors of databases."""
    while error is not None:
        if _is_full(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in NO_ROOM
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return getattr(error, "sqlstate", None) == _DISK_FULL


def no_room(where: str) -> NoRoom:
    """The error for a full disk. where: what is on the disk, in words."""
    fault = Fault("no_room", f"The disk of {where} is full. Nothing that was accepted before is lost.", _HINT)
    return NoRoom("no-room", f"{fault.detail} {fault.hint}", fault)


@contextmanager
def no_room_is_told() -> Iterator[None]:
    """Raise `NoRoom` where the block fails because the disk of the files is full."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise no_room("the service's files") from error
        raise
