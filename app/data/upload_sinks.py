"""What the ways of keeping the bytes of an upload in pieces share."""

import hashlib
import os
import sys
from contextlib import AbstractContextManager
from io import FileIO
from pathlib import Path
from typing import Protocol

from app.core.errors import Conflict, Locked


class Sink(Protocol):
    """Where arriving bytes go. size: number of bytes that lie there in all, also from earlier requests."""

    size: int

    def write(self, data: bytearray) -> None:
        """Add bytes at the end."""


class Content(Protocol):
    """The bytes of one upload. size: their number, as far as they are stored safely."""

    size: int

    def sink(self) -> AbstractContextManager[Sink]:
        """Where further bytes go. Raises `Conflict` if another request has added bytes, or the bytes have been used."""

    def whole(self) -> AbstractContextManager[Path]:
        """A file on this machine with all bytes. It must not be changed."""

    def remove(self) -> None:
        """Delete the bytes."""


class FileSink:
    """Adds bytes to an unbuffered file. digest: A hash of the bytes that are added, if one is wanted."""

    def __init__(self, file: FileIO, digest: "hashlib._Hash | None" = None) -> None:
        self._file, self._digest = file, digest
        self.size = file.seek(0, os.SEEK_END)

    def write(self, data: bytearray) -> None:
        """Add bytes, and begin to write them to the disk."""
        view = memoryview(data)
        while view:  # an unbuffered file may write only the beginning
            written = self._file.write(view)
            self.size += written
            view = view[written:]
        if sys.platform == "linux":
            # starts the write now: else the disk would be idle until fsync, or until a tenth of the memory waits for it
            os.posix_fadvise(self._file.fileno(), self.size - len(data), len(data), os.POSIX_FADV_DONTNEED)
        if self._digest:
            self._digest.update(data)


class OffsetMismatch(Conflict):
    """The bytes do not begin where those that are there end. kept, offset: both places, in bytes."""

    def __init__(self, kept: int, offset: int) -> None:
        detail = f"The upload has {kept} bytes, so it cannot go on at byte {offset}."
        super().__init__("offset-mismatch", f"{detail} Send the bytes after those; HEAD says how many there are.")
        self.kept, self.offset = kept, offset


def used_up() -> Conflict:
    """The error for bytes that are sent to an upload of which something was made."""
    return Conflict("upload-complete", "A resource was already made from this upload. Begin a new one.")


def busy() -> Locked:
    """The error for an upload that another request is using."""
    detail = "Another request is sending to this upload, or the service still waits for one that broke off."
    return Locked("upload-busy", f"{detail} Try again in half a minute.")
