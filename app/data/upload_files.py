"""Uploads in pieces as files on the disk of the store: the length of one is the number of bytes that have arrived."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from app.core.errors import NotFound
from app.data.upload_sinks import FileSink, Sink, busy, used_up


@contextmanager
def locked(path: Path, id_: str) -> Iterator["FileContent"]:
    """The bytes of an upload, locked against all other requests, also those of other processes.

    Raises `NotFound`, or `Locked` if another request has the file.
    """
    try:
        file = path.open("r+b", buffering=0)
    except FileNotFoundError as error:
        raise NotFound("upload", id_) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise busy() from error
        if not os.fstat(file.fileno()).st_nlink:  # deleted after it was opened
            raise NotFound("upload", id_)
        yield FileContent(file, path)


def size_of(path: Path, id_: str) -> int:
    """How many bytes are on the disk, where they survive a crash of the machine. Raises `NotFound`."""
    try:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            return os.fstat(file.fileno()).st_size
    except FileNotFoundError as error:
        raise NotFound("upload", id_) from error


class FileContent:
    """The file of an upload, as a `Content`."""

    def __init__(self, file: FileIO, path: Path) -> None:
        self._file, self._path = file, path
        self.size = os.fstat(file.fileno()).st_size

    @contextmanager
    def sink(self) -> Iterator[Sink]:
        # The store links files, and never changes one. An upload is in the store if the service was killed, or if its
        # database was out of reach, while a resource was made from it.
        if os.fstat(self._file.fileno()).st_nlink > 1:
            raise used_up()
        yield FileSink(self._file)

    @contextmanager
    def whole(self) -> Iterator[Path]:
        yield self._path

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)
