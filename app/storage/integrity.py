"""Checks that a file holds the bytes that its key names."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from app.core.errors import Damaged
from app.storage.owners import owner_of
from app.storage.store import missing, sha256_in, sha256_of

_REMEMBERED = 10_000


@dataclass
class Checker:
    """Checks files by their sha256. It remembers intact files, so one that is served many times is hashed once a day.

    trust_s: Seconds after which a file is checked again although it seems unchanged: bits that rot on a disk leave size
        and time of a file as they were. clock: Returns seconds that only grow.
    """

    trust_s: float
    clock: Callable[[], float] = time.monotonic
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
        if len(self._intact) >= _REMEMBERED:
            self._intact.clear()
        self._intact[path] = identity, self.clock() + self.trust_s


def _identity(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
