"""Copies on this machine of files that are stored elsewhere or can be made again. They may be deleted at any time."""

import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from app.storage.locks import locked
from app.storage.store import remove_leftovers

_UNFINISHED = ("part-", "lock-")


class Cache:
    """Files by name in a folder that several processes may share.

    limit_bytes: When the folder holds more, the files that were not used for the longest time are deleted.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder = folder
        self._limit_bytes = limit_bytes
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, name: str, make: Callable[[Path], None]) -> Path:
        """The path of the file `name`. Open it at once, because it may be deleted later.

        name: Must identify the content, for instance by a sha256.
        make: Writes the file to the path in its argument; called only if the cache does not have the file, and by one
            process of this machine at a time.
        """
        path = self.folder / name
        if self._touch(path):
            return path
        with locked(self.folder / f"lock-{name}"):  # eight workers of a machine download a scene once
            if not self._touch(path):
                part = self.folder / f"part-{secrets.token_hex(16)}"
                try:
                    make(part)
                    part.replace(path)
                    self._touch(path)  # the file system's own clock for new files is coarser than `time_ns`
                finally:
                    part.unlink(missing_ok=True)
                self._shrink(path)
        return path

    def find(self, name: str) -> Path | None:
        """The path of the file `name` if the cache has it. Open it at once, because it may be deleted later."""
        path = self.folder / name
        return path if self._touch(path) else None

    def drop(self, name: str) -> None:
        """Delete the file `name`, if it is there."""
        (self.folder / name).unlink(missing_ok=True)

    def _touch(self, path: Path) -> bool:
        """Set the time of access of a file to now. Returns False when there is no such file."""
        try:
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
        except FileNotFoundError:
            return False
        return True

    def _shrink(self, newest: Path) -> None:
        """Delete the files that were not used for the longest time until the rest is within the limit.

        newest: Never deleted, however large it is.
        """
        for prefix in _UNFINISHED:
            remove_leftovers(self.folder.glob(f"{prefix}*"))
        files = []
        for entry in os.scandir(self.folder):
            try:
                status = entry.stat()
            except FileNotFoundError:  # another process removed it
                continue
            if not entry.name.startswith(_UNFINISHED):
                files.append((status.st_atime_ns, status.st_size, entry.path))
        total = sum(size for _, size, _ in files)
        for _, size, name in sorted(files):
            if total <= self._limit_bytes:
                break
            if name != str(newest):
                Path(name).unlink(missing_ok=True)
                total -= size
