"""Copies on this machine of what lies elsewhere or can be made again: bounded, and safe to lose."""

import os
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

from app.storage.store import remove_leftovers

_LOCKS = 64


class Cache:
    """Files by name, in a folder that any number of processes share; those unused for the longest time go first."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder = folder
        self._limit_bytes = limit_bytes
        self._making = [threading.Lock() for _ in range(_LOCKS)]
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, name: str, make: Callable[[Path], None]) -> Path:
        """The file `name`, to be opened at once; if it is not there, what `make` writes to the path that it is given.

        name: must say what is in the file, for instance by a sha256.
        """
        path = self.folder / name
        with self._making[hash(name) % _LOCKS]:  # twenty tiles of one map: one download
            if not self._touch(path):
                part = self.folder / f"part-{secrets.token_hex(16)}"
                try:
                    make(part)
                    part.replace(path)
                    self._touch(path)  # by the clock of all touches: that of a new file is coarser
                finally:
                    part.unlink(missing_ok=True)
                self._shrink(path)
        return path

    def drop(self, name: str) -> None:
        """Forget a file."""
        (self.folder / name).unlink(missing_ok=True)

    def _touch(self, path: Path) -> bool:
        """Note that it is used, by its time of access; False when it is not there."""
        try:
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
        except FileNotFoundError:
            return False
        return True

    def _shrink(self, newest: Path) -> None:
        """Remove the longest unused files until the rest is within the limit; the newest stays, however large."""
        remove_leftovers(self.folder.glob("part-*"))
        files = []
        for entry in os.scandir(self.folder):
            try:
                status = entry.stat()
            except FileNotFoundError:  # another process removed it
                continue
            if not entry.name.startswith("part-"):
                files.append((status.st_atime_ns, status.st_size, entry.path))
        total = sum(size for _, size, _ in files)
        for _, size, name in sorted(files):
            if total <= self._limit_bytes:
                break
            if name != str(newest):
                Path(name).unlink(missing_ok=True)
                total -= size
