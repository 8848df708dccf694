"""Uploads that arrive in pieces. Each is a file beside the store, whose length is the number of bytes received.

The file stays until a resource is made from it, until it is deleted, or until nothing has arrived for a day.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from app.core import tenancy
from app.core.errors import Conflict, Locked, NotFound, TooLarge
from app.core.idempotency import FRESH, IdempotentRequest
from app.core.preconditions import ANY, IfMatch
from app.core.room import no_room_is_told
from app.services import Services
from app.storage.store import remove_leftovers

ID = "^[0-9a-f]{32}$"  # of the ids that `begin` makes


def begin(services: Services, once: IdempotentRequest = FRESH, total: int | None = None) -> str:
    """Begin an empty upload; returns its id. The same request again is the same upload. Raises `NoRoom`, `TooLarge`.

    total: bytes of the whole file, or None if the client did not state it.
    """
    _check_total(total, services)
    id_ = secrets.token_hex(16)
    path = services.store.partial(tenancy.file_name(id_))
    remove_leftovers(path.parent.glob(path.name.replace(tenancy.file_name(id_), "*")))
    with no_room_is_told():
        path.touch(exist_ok=False)
    with locked(services, id_) as file:
        if earlier := _earlier(services, once, id_):
            remove(file)
            return earlier
        if total is not None:
            _agree_on(total, file)
    return id_


def _earlier(services: Services, once: IdempotentRequest, id_: str) -> str | None:
    if once.key is None:
        return None
    with services.database.write() as session:
        return once.earlier(session, id_)


def tag_of(offset: int) -> str:
    """The ETag of an upload: bytes are only ever added to it, and its id is never given to another."""
    return str(offset)


def offset(services: Services, id_: str) -> int:
    """How many bytes of an upload are on the disk, where they survive a crash of the machine. Raises `NotFound`."""
    try:
        with services.store.partial(tenancy.file_name(id_)).open("rb") as file:
            os.fsync(file.fileno())
            return os.fstat(file.fileno()).st_size
    except FileNotFoundError as error:
        raise NotFound("upload", id_) from error


@contextmanager
def locked(services: Services, id_: str) -> Iterator[FileIO]:
    """The file of an upload, unbuffered, and locked against all other requests, also those of other processes.

    Raises `NotFound`, or `Locked` if another request has it.
    """
    path = services.store.partial(tenancy.file_name(id_))
    try:
        file = path.open("r+b", buffering=0)
    except FileNotFoundError as error:
        raise NotFound("upload", id_) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            detail = "Another request is sending to this upload, or the service still waits for one that broke off."
            raise Locked("upload-busy", f"{detail} Try again in half a minute.") from error
        if not os.fstat(file.fileno()).st_nlink:  # deleted after it was opened
            raise NotFound("upload", id_)
        yield file


@dataclass(frozen=True)
class Piece:
    """What a request wants to add to an upload. All in bytes, None where the client did not state it.

    offset: Where it begins. length: Its length. total: Length of the whole file.
    """

    offset: int
    length: int | None = None
    total: int | None = None


@contextmanager
def open_at(services: Services, id_: str, piece: Piece, if_match: IfMatch = ANY) -> Iterator[tuple[FileIO, int | None]]:
    """The file of `locked`, ready to be appended to, and the offset that must not be passed, or None.

    Raises `PreconditionFailed` if the upload has changed, and `Conflict` if the piece does not begin at the end of the
    file or would pass its announced end, if another total was stated before, or if the file is already in the store.

    The store links files, and never changes one. An upload is in the store if the service was killed, or if its
    database was out of reach, while a resource was made from it.
    """
    _check_total(piece.total, services)
    with locked(services, id_) as file:
        if os.fstat(file.fileno()).st_nlink > 1:
            raise Conflict("upload-complete", "A resource was already made from this upload. Begin a new one.")
        kept = file.seek(0, os.SEEK_END)
        if_match.check(tag_of(kept))
        if piece.offset != kept:
            detail = f"The upload has {kept} bytes, so it cannot go on at byte {piece.offset}."
            raise Conflict("offset-mismatch", f"{detail} Send the bytes after those; HEAD says how many there are.")
        if piece.total is not None:
            _agree_on(piece.total, file)
        yield file, _end_of(piece, _announced(file))


def _end_of(piece: Piece, total: int | None) -> int | None:
    end = None if piece.length is None else piece.offset + piece.length
    if total is not None and end is not None and end > total:
        raise beyond(total)
    return total if end is None else end


def beyond(end: int) -> Conflict:
    """The error for bytes after the announced end of a file or a piece; `end` in bytes."""
    detail = f"The bytes go on after byte {end}, where they were announced to end."
    return Conflict("total-exceeded", f"{detail} HEAD says how many are kept: send only those that are missing.")


def check_complete(file: FileIO) -> None:
    """Raise `Conflict` if a size was announced for the file of `locked` and it has another size."""
    size, total = os.fstat(file.fileno()).st_size, _announced(file)
    if total is not None and size != total:
        mend = "Send the rest first." if size < total else "Begin a new one."
        raise Conflict("upload-incomplete", f"The upload has {size} bytes, but {total} were announced. {mend}")


def remove(file: FileIO) -> None:
    """Delete the file of `locked`, and the note of its announced size."""
    path_of(file).unlink()
    _note_of(file).unlink(missing_ok=True)


def _check_total(total: int | None, services: Services) -> None:
    limit = services.settings.upload_limit_bytes
    if total is not None and total > limit:
        raise TooLarge("body-too-large", f"The file is announced to have {total} bytes; the limit is {limit}.")


def _agree_on(total: int, file: FileIO) -> None:
    before, size = _announced(file), os.fstat(file.fileno()).st_size
    if size > total:
        raise Conflict("total-mismatch", f"The upload has {size} bytes already, and is now announced to have {total}.")
    if before is None:
        with no_room_is_told():
            _note_of(file).write_text(f"{total}\n")
    elif before != total:
        detail = f"The announced size of the whole file was {before} bytes, and now it is {total}."
        raise Conflict("total-mismatch", f"{detail} Go on with the file that you began with, or begin a new upload.")


def _announced(file: FileIO) -> int | None:
    """Announced bytes of the whole file, or None. A note that a crash has cut off has no line end, and is ignored."""
    try:
        text = _note_of(file).read_text()
    except FileNotFoundError:
        return None
    return int(text) if text.endswith("\n") else None


def _note_of(file: FileIO) -> Path:
    path = path_of(file)
    return path.with_name(f"{path.name}.total")


def path_of(file: FileIO) -> Path:
    """The path of the file of `locked`."""
    return Path(str(file.name))


def delete(services: Services, id_: str, if_match: IfMatch = ANY) -> None:
    """Delete an upload. Raises `NotFound`, `PreconditionFailed`, or `Locked` if a request is using it."""
    with locked(services, id_) as file:
        if_match.check(tag_of(os.fstat(file.fileno()).st_size))
        remove(file)
