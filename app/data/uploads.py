"""Uploads that arrive in pieces: a file beside the store, whose length says how far it has come.

It is there until something is made of it, it is deleted, or nobody has sent more for a day.
"""

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from app.core.errors import Conflict, Locked, NoRoom, NotFound
from app.services import Services
from app.storage.store import remove_leftovers

ID = "^[0-9a-f]{32}$"  # what `begin` gives


def begin(services: Services) -> str:
    """The id of a new upload, still empty."""
    id_ = secrets.token_hex(16)
    path = services.store.partial(id_)
    remove_leftovers(path.parent.glob(path.name.replace(id_, "*")))
    with no_room_is_told():
        path.touch(exist_ok=False)
    return id_


def offset(services: Services, id_: str) -> int:
    """How many bytes are kept, whatever happens to this machine."""
    try:
        with services.store.partial(id_).open("rb") as file:
            os.fsync(file.fileno())
            return os.fstat(file.fileno()).st_size
    except FileNotFoundError as error:
        raise NotFound("upload", id_) from error


@contextmanager
def held(services: Services, id_: str) -> Iterator[FileIO]:
    """The upload's file, unbuffered, for nobody else meanwhile; also if they are asked by another process.

    Raises `NotFound`, or `Locked` if somebody has it.
    """
    path = services.store.partial(id_)
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
        if not os.fstat(file.fileno()).st_nlink:  # deleted between the two
            raise NotFound("upload", id_)
        yield file


@contextmanager
def growing(services: Services, id_: str, offset: int, total: int | None = None) -> Iterator[FileIO]:
    """The file of `held`, to be appended to at `offset`. total: bytes of the whole file, where the client says so.

    Raises `Conflict` if that is not its end, if it was to have another total, or if it is the store's already: the
    store links files, and never lets one change. So it is when the service was killed, or its database away, while
    something was made of the upload.
    """
    with held(services, id_) as file:
        if os.fstat(file.fileno()).st_nlink > 1:
            raise Conflict("upload-complete", "Something was made of this upload already. Begin a new one.")
        kept = file.seek(0, os.SEEK_END)
        if offset != kept:
            detail = f"The upload has {kept} bytes, so it does not go on at {offset}."
            raise Conflict("offset-mismatch", f"{detail} Send from there on; HEAD tells where it is at any time.")
        if total is not None:
            _agree_on(total, file)
        yield file


def check_complete(file: FileIO) -> None:
    """Raise `Conflict` unless the file of `held` has as many bytes as were announced for it, if any were."""
    size, total = os.fstat(file.fileno()).st_size, _announced(file)
    if total is not None and size != total:
        mend = "Send the rest first." if size < total else "Begin a new one."
        raise Conflict("upload-incomplete", f"The upload has {size} bytes, and was to have {total}. {mend}")


def remove(file: FileIO) -> None:
    """Unlink the file of `held`, and what was announced for it."""
    path_of(file).unlink()
    _note_of(file).unlink(missing_ok=True)


def _agree_on(total: int, file: FileIO) -> None:
    before = _announced(file)
    if before is None:
        with no_room_is_told():
            _note_of(file).write_text(f"{total}\n")
    elif before != total:
        detail = f"The whole file was to have {before} bytes, and now {total}."
        raise Conflict("total-mismatch", f"{detail} Go on with the file that you began with, or begin a new upload.")


def _announced(file: FileIO) -> int | None:
    """Bytes of the whole file, if a client has said so: what was cut off by a crash does not count."""
    try:
        text = _note_of(file).read_text()
    except FileNotFoundError:
        return None
    return int(text) if text.endswith("\n") else None


def _note_of(file: FileIO) -> Path:
    path = path_of(file)
    return path.with_name(f"{path.name}.total")


def path_of(file: FileIO) -> Path:
    """Where the file of `held` lies."""
    return Path(str(file.name))


def delete(services: Services, id_: str) -> None:
    """Forget an upload. Raises `NotFound`."""
    with held(services, id_) as file:
        remove(file)


@contextmanager
def no_room_is_told() -> Iterator[None]:
    """A full disk is `NoRoom`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoRoom("no-room", "The service's disk is full. Try again later.") from error
        raise
