"""Room on the disk that is kept for deleting: SQLite writes down what it deletes first, and needs room for that."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

BYTES = 8 * 2**20  # enough to delete a map of thousands of parts
LEAST_FREE_BYTES = 2 * BYTES  # with less, the reserve cannot be kept, and the service does not call itself ready


class Reserve:
    """A file that only takes up room, and is deleted when its room is needed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def keep(self) -> None:
        """Make the file, unless it is there already or would take more than half of the room that is left."""
        if self._is_whole() or shutil.disk_usage(self.path.parent).free < LEAST_FREE_BYTES:
            return
        try:
            with self.path.open("ab") as file:
                os.posix_fallocate(file.fileno(), 0, BYTES)
        except OSError:  # the disk has become full meanwhile: a later call makes the file
            self.release()

    def release(self) -> None:
        """Delete the file, unless it is gone already or cannot be deleted."""
        with suppress(OSError):
            self.path.unlink()

    def _is_whole(self) -> bool:
        try:
            return self.path.stat().st_size >= BYTES
        except FileNotFoundError:
            return False

    def disk_is_full(self) -> bool:
        """Whether the disk has less room than SQLite needs to open a database."""
        return shutil.disk_usage(self.path.parent).free < 2**16
