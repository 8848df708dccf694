"""Checks that a file holds the bytes that its key names."""

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from app.core.errors import Damaged
from app.storage.owners import owner_of
from app.storage.store import missing, sha256_in, sha256_of

_REMEMBERED = 10_000
_MARK = "user.canemap.intact"  # an extended attribute of a file


@dataclass
class Checker:
    """Checks files by their sha256. It remembers intact files, so one that is served many times is hashed once a day.

    It also marks them, where the file system can, for other processes of the machine: a scene is hashed once for
    all the parts of its map.

    trust_s: Seconds after which a file is checked again although it seems unchanged: bits that rot on a disk leave size
        and time of a file as they were. clock: Returns seconds that only grow. wall: Returns seconds since 1970.
    """

    trust_s: float
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    _intact: dict[Path, tuple[tuple[int, ...], float]] = field(default_factory=dict)

    def check(self, path: Path, key: str, *, again: bool = False) -> None:
        """Raise `Damaged` unless the file at `path` exists and holds the bytes that `key` names.

        again: Check even if the file was found intact lately and has not changed since.
        """
        try:
            identity = _identity(path)
            known, until = self._intact.get(path, (None, 0.0))
            if known == identity and self.clock() < until and not again:
                return
            if known != identity and not again and (left_s := self._marked_for(path, identity, key)) > 0:
                self._remember(path, identity, left_s)
                return
            found = sha256_of(path)
        except FileNotFoundError as error:
            raise missing(key) from error
        if found != sha256_in(key):
            raise Damaged(
                "damaged-object",
                f"The object {key!r} is damaged: its {identity[1]} bytes have the sha256 {found}. It was not used. "
                "Restore it from a backup.",
                owner_of(key),
            )
        self._remember(path, identity, self.trust_s)
        self._mark(path, identity, key)

    def _remember(self, path: Path, identity: tuple[int, ...], seconds: float) -> None:
        if len(self._intact) >= _REMEMBERED:
            self._intact.clear()
        self._intact[path] = identity, self.clock() + seconds

    def _mark(self, path: Path, identity: tuple[int, ...], key: str) -> None:
        """Tell other processes that a file was found intact now. It stays without a mark where that is impossible."""
        if sys.platform == "linux":
            text = " ".join([sha256_in(key), *map(str, identity), str(int(self.wall()))])
            with suppress(OSError):
                os.setxattr(path, _MARK, text.encode())

    def _marked_for(self, path: Path, identity: tuple[int, ...], key: str) -> float:
        """Seconds for which the file may be trusted because another process found it intact; 0 or less if not."""
        if sys.platform == "linux":
            with suppress(OSError, ValueError):
                mark, _, at = os.getxattr(path, _MARK).decode().rpartition(" ")
                age_s = self.wall() - float(at)
                if mark == " ".join([sha256_in(key), *map(str, identity)]) and age_s >= 0:  # or the clock was set
                    return self.trust_s - age_s
        return 0


def _identity(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
