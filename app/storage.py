"""The object store: files by key, written once. The database points to them by key and sha256."""

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Stored:
    """A file in the store."""

    object: str
    sha256: str
    size_bytes: int


class LocalStore:
    """A folder. What stands under a key is complete and on the disk: written beside, synced, then renamed."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._incoming = self.root / "incoming"
        self._objects = self.root / "objects"
        self._incoming.mkdir(parents=True, exist_ok=True)
        self._objects.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def incoming(self) -> Iterator[Path]:
        """A path for a file on its way in, on the store's own disk; gone after the block unless `put` took it."""
        path = self._incoming / secrets.token_hex(16)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def put(self, source: Path, key: str, *, sha256: str | None = None) -> Stored:
        """Move `source`, a file on the store's own disk, under `key`; durable when this returns."""
        stored = Stored(key, sha256 or sha256_of(source), source.stat().st_size)
        target = self.path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        _sync(source)
        source.replace(target)
        _sync(target.parent)
        return stored

    def path(self, key: str) -> Path:
        """Where the bytes of `key` can be read. Keys are made by canemap, never by a client."""
        return self._objects / key

    def writable(self) -> bool:
        """Whether a file can be written."""
        try:
            with self.incoming() as path:
                path.write_bytes(b"ready")
        except OSError:
            return False
        return True

    def delete(self, key: str) -> None:
        """Forget `key`, if it is there."""
        self.path(key).unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
