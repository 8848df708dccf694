"""The interface of every store, and the form of its keys.

The last component of a key begins with the sha256 of the object's bytes. So an object can be checked with nothing but
its key, a key is written only once, and two writers of the same key write the same bytes.
"""

import hashlib
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Protocol

from app.core import tenancy
from app.core.errors import Damaged
from app.storage.owners import owner_of

_LAST_COMPONENT = re.compile(r"(?P<sha256>[0-9a-f]{64})-[^/]+")
TRUST_S = 86_400.0  # seconds for which a file that was found intact is not read again before it is served
PIECE_BYTES = 1024**2
_LEFT_BEHIND_S = 86_400  # an upload that stalls is aborted long before this


@dataclass(frozen=True)
class Upload:
    """A received file. sha256: of its bytes, in hex."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class Stored:
    """A file in the store. object: its key. sha256: of its bytes, in hex."""

    object: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class StoredObject:
    """An object as the store lists it. modified: when it was stored."""

    key: str
    size_bytes: int
    modified: datetime


class Store(Protocol):
    """Files by key. Every method may raise `StoreAway`. Those that read an object raise `Damaged`."""

    @property
    def url(self) -> str:
        """URL of the store, without credentials."""

    def incoming(self) -> AbstractContextManager[Path]:
        """A path on this machine for a new file, which is deleted at the end of the block."""

    def partial(self, name: str) -> Path | None:
        """The path of an upload in pieces, on a disk that all machines share, or None if the store has no such disk.

        The file may be deleted when it was not written to for a day.
        """

    def put(self, source: Path, place: str, *, sha256: str | None = None) -> Stored:
        """Store the file `source` durably, under the key that `key_for` makes of `place` and its sha256.

        source: Must not change afterwards. place: A path like "scenes/s1/scene.tif".
        sha256: Of the bytes of `source`, in hex; computed if it is None.
        """

    def file(self, key: str) -> Path:
        """The path of a file with the bytes of `key`. Open it at once, because it may be deleted later.

        The file is checked, unless it was intact before and has not changed since.
        """

    def take(self, key: str, folder: Path) -> Path:
        """The path of a file with the bytes of `key`. The file stays until `folder` is removed.

        The file is checked, unless a process of this machine has found it intact and it has not changed since.
        """

    def keys(self, prefix: str) -> Iterator[str]:
        """All keys that begin with `prefix`, in order."""

    def objects(self) -> Iterator[StoredObject]:
        """All objects, in the order of their keys."""

    def read(self, key: str) -> Iterator[bytes]:
        """The bytes of an object in pieces, as they lie in the store itself. They are not checked."""

    def delete(self, key: str) -> None:
        """Delete the object, if it is there."""

    def sweep(self, before: datetime) -> int:
        """Delete unfinished uploads that began before a moment and that killed processes left. Returns their number."""

    def fault(self) -> str | None:
        """Test within seconds whether the store can be used. Returns what is wrong, as a sentence, or None."""


def key_for(place: str, sha256: str) -> str:
    """The key of bytes with this sha256: `place` with the sha256 and "-" before its last component."""
    path = PurePosixPath(place)
    return str(path.with_name(f"{sha256}-{path.name}"))


def new_place(collection: str, owner: str, name: str) -> str:
    """A place for `put` that no other object has.

    collection, owner: What the object belongs to, like "scenes" and the name of one. name: Of the file.

    Objects of the same bytes then have different keys: to delete one never takes the file of another away.
    """
    return f"{collection}/{tenancy.file_name(owner)}/{secrets.token_hex(8)}-{name}"


def sha256_in(key: str) -> str:
    """The sha256 in a key, in hex. Raises `Damaged` when the key has none."""
    match = _LAST_COMPONENT.fullmatch(key.rpartition("/")[2])
    if match is None:
        raise Damaged("damaged-object", f"The object {key!r} does not name its sha256.", owner_of(key))
    return match["sha256"]


def missing(key: str) -> Damaged:
    """The error for an object that is missing from the store."""
    detail = f"The object {key!r} is missing from the store. Restore it from a backup."
    return Damaged("missing-object", detail, owner_of(key))


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_leftovers(paths: Iterable[Path], before: float | None = None) -> int:
    """Delete those of the files and folders that were not written to for a day. Killed processes left them behind.

    before: Time in seconds since 1970 before which they were written last; by default a day ago. Returns their number.
    """
    count, limit = 0, time.time() - _LEFT_BEHIND_S if before is None else before
    for path in paths:
        with suppress(FileNotFoundError):  # its owner has just deleted it
            if path.stat().st_mtime < limit:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
                count += 1
    return count
