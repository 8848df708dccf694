"""A store in a folder, which several machines may share."""

import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import structlog

from app.core.reserve import LEAST_FREE_BYTES
from app.storage.integrity import Checker
from app.storage.store import PIECE_BYTES, TRUST_S, Stored, StoredObject, key_for, missing, remove_leftovers, sha256_of

log = structlog.get_logger()


class LocalStore:
    """A store in the folder `root`.

    A file under a key is always complete and on the disk: it is written elsewhere in the folder, synced, then renamed.
    """

    def __init__(self, root: Path, trust_s: float = TRUST_S) -> None:
        self.root = root.resolve()
        self._incoming = self.root / "incoming"
        self._objects = self.root / "objects"
        self._incoming.mkdir(parents=True, exist_ok=True)
        self._objects.mkdir(parents=True, exist_ok=True)
        remove_leftovers(self._incoming.iterdir())
        self._checker = Checker(trust_s)

    @property
    def url(self) -> str:
        """URL of the folder, in the form of CANEMAP_STORE_URL."""
        return self.root.as_uri()

    @contextmanager
    def incoming(self) -> Iterator[Path]:
        """A path for a new file, on the store's own disk. The file is deleted at the end of the block."""
        path = self._incoming / secrets.token_hex(16)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def partial(self, name: str) -> Path:
        """The path of an unfinished upload, on the store's own disk."""
        return self._incoming / f"upload-{name}"

    def put(self, source: Path, place: str, *, sha256: str | None = None) -> Stored:
        """Link `source` into the store, or copy it if it is on another disk."""
        stored = Stored(key_for(place, sha256 or (found := sha256_of(source))), sha256 or found, source.stat().st_size)
        target = self.path(stored.object)
        with self.incoming() as staged:
            _link(source, staged)
            os.utime(staged)  # an object is as old as its key: a file may have been written days before
            _sync(staged)
            self._make_folder(target.parent)
            staged.replace(target)  # an existing file is replaced: it has the same bytes, unless it is damaged
        _sync(target.parent)
        return stored

    def path(self, key: str) -> Path:
        """The path of the object, which is not checked. key: made by canemap, never by a client."""
        return self._objects / key

    def file(self, key: str) -> Path:
        """The path of the object itself, checked unless it was intact before and has not changed."""
        path = self.path(key)
        self._checker.check(path, key)
        return path

    def take(self, key: str, folder: Path) -> Path:
        """The path of the object itself, checked. No object that a job uses is deleted while the job runs."""
        return self.file(key)

    def keys(self, prefix: str) -> Iterator[str]:
        """All keys that begin with `prefix`, sorted."""
        top = self.path(prefix.rpartition("/")[0])
        found = (path.relative_to(self._objects).as_posix() for path in top.rglob("*") if path.is_file())
        yield from sorted(key for key in found if key.startswith(prefix))

    def objects(self) -> Iterator[StoredObject]:
        """All objects, sorted by their keys."""
        for key in self.keys(""):
            with suppress(FileNotFoundError):  # it was just deleted
                status = self.path(key).stat()
                yield StoredObject(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))

    def read(self, key: str) -> Iterator[bytes]:
        """The bytes of an object in pieces, where possible from the disk and not from the memory of the machine."""
        try:
            file = self.path(key).open("rb", buffering=0)
        except FileNotFoundError as error:
            raise missing(key) from error
        with file:
            if sys.platform == "linux":
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            while piece := file.read(PIECE_BYTES):
                yield piece

    def delete(self, key: str) -> None:
        """Delete the object, if it is there."""
        self.path(key).unlink(missing_ok=True)

    def sweep(self, before: datetime) -> int:
        """Delete the files of unfinished uploads that were not written to since `before`."""
        return remove_leftovers(self._incoming.iterdir(), before.timestamp())

    def fault(self) -> str | None:
        """Write a file and delete it, and look at the room that is left. Returns what went wrong, or None."""
        try:
            with self.incoming() as path:
                path.write_bytes(b"ready")
                free = shutil.disk_usage(path.parent).free
        except OSError as error:
            log.error("the store cannot be written", root=str(self.root), error=str(error))
            return f"The store cannot be written: {error.strerror}."
        if free < LEAST_FREE_BYTES:
            return f"The disk of the files is full: it has {free:,} bytes left, of at least {LEAST_FREE_BYTES:,}."
        return None

    def _make_folder(self, folder: Path) -> None:
        """Create `folder` and its parents, and sync the directory entry of each new folder to the disk."""
        new = [folder, *folder.parents]
        new = new[: new.index(next(path for path in new if path.is_dir()))]
        folder.mkdir(parents=True, exist_ok=True)
        for path in new:
            _sync(path.parent)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or a file system without links
        shutil.copyfile(source, target)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
