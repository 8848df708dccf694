"""What every store can do, and what its keys mean.

A key names its own bytes: its last part begins with their sha256. So whatever is read can be checked with nothing but
the key, a key is written once, and two writers of one key write the same.
"""

import hashlib
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from app.core.errors import Damaged

_LAST_PART = re.compile(r"(?P<sha256>[0-9a-f]{64})-[^/]+")
_LEFT_BEHIND_S = 86_400  # an upload that stalls is ended long before


@dataclass(frozen=True)
class Upload:
    """A received file: where it lies, and its sha256."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class Stored:
    """A file in the store."""

    object: str
    sha256: str
    size_bytes: int


class Store(Protocol):
    """Files by key. Every call may raise `StoreAway`; those that read raise `Damaged`, which names the key."""

    @property
    def url(self) -> str:
        """Which store this is, without credentials."""

    def incoming(self) -> AbstractContextManager[Path]:
        """A path for a file on its way in, which is gone after the block."""

    def partial(self, name: str) -> Path:
        """Where a file that comes in pieces grows, on this machine; it goes when nobody has written to it for a day."""

    def put(self, source: Path, place: str, *, sha256: str | None = None) -> Stored:
        """Publish `source`, which must never change afterwards, under `place` with its sha256 in the last part.

        Durable when this returns. place: "scenes/s1/scene.tif". sha256: when it is known already.
        """

    def file(self, key: str) -> Path:
        """The bytes of `key` as a file, to be opened at once; checked, unless it was and has not been touched since."""

    def take(self, key: str, folder: Path) -> Path:
        """The same for work that lasts: checked now, and there until `folder` is removed."""

    def keys(self, prefix: str) -> Iterator[str]:
        """All keys that begin with `prefix`, in order."""

    def delete(self, key: str) -> None:
        """Forget `key`, if it is there."""

    def fault(self) -> str | None:
        """What is wrong with the store, found out within seconds; None when it can be written and read."""


def key_for(place: str, sha256: str) -> str:
    """Where the bytes with this sha256 lie."""
    path = PurePosixPath(place)
    return str(path.with_name(f"{sha256}-{path.name}"))


def sha256_in(key: str) -> str:
    """The sha256 of the bytes under `key`."""
    match = _LAST_PART.fullmatch(key.rpartition("/")[2])
    if match is None:
        raise Damaged("damaged-object", f"The object {key!r} does not name its sha256, so it cannot be checked.")
    return match["sha256"]


def missing(key: str) -> Damaged:
    """An object that a row points to is not there."""
    return Damaged("missing-object", f"The object {key!r} is missing from the store. Restore it from a backup.")


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_leftovers(paths: Iterable[Path]) -> None:
    """Remove those of `paths` that nobody has written to for a day: a process that was killed could not remove them."""
    for path in paths:
        with suppress(FileNotFoundError):  # whose it is has removed it just now
            if time.time() - path.stat().st_mtime > _LEFT_BEHIND_S:
                path.unlink()
