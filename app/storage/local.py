"""A store in a folder, which several machines may share."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.storage.integrity import Checker
from app.storage.store import Stored, key_for, remove_leftovers, sha256_of


class LocalStore:
    """What stands under a key is complete and on the disk: written beside, synced, then renamed."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._incoming = self.root / "incoming"
        self._objects = self.root / "objects"
        self._incoming.mkdir(parents=True, exist_ok=True)
        self._objects.mkdir(parents=True, exist_ok=True)
        remove_leftovers(self._incoming.iterdir())
        self._checker = Checker()

    @property
    def url(self) -> str:
        """As in CANEMAP_STORE_URL."""
        return self.root.as_uri()

    @contextmanager
    def incoming(self) -> Iterator[Path]:
        """A path on the store's own disk."""
        path = self._incoming / secrets.token_hex(16)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def partial(self, name: str) -> Path:
        """A path on the store's own disk."""
        return self._incoming / f"upload-{name}"

    def put(self, source: Path, place: str, *, sha256: str | None = None) -> Stored:
        """Link `source` into the store; copy it if it lies on another disk."""
        stored = Stored(key_for(place, sha256 or (found := sha256_of(source))), sha256 or found, source.stat().st_size)
        target = self.path(stored.object)
        with self.incoming() as staged:
            _link(source, staged)
            _sync(staged)
            self._make_folder(target.parent)
            staged.replace(target)  # over one that is there already: it has the same bytes, unless it was damaged
        _sync(target.parent)
        return stored

    def path(self, key: str) -> Path:
        """Where the bytes of `key` lie, unchecked. Keys are made by canemap, never by a client."""
        return self._objects / key

    def file(self, key: str) -> Path:
        """The object itself."""
        path = self.path(key)
        self._checker.check(path, key)
        return path

    def take(self, key: str, folder: Path) -> Path:
        """The object itself: what work uses is not deleted meanwhile."""
        path = self.path(key)
        self._checker.check(path, key, again=True)
        return path

    def keys(self, prefix: str) -> Iterator[str]:
        """All keys that begin with `prefix`."""
        top = self.path(prefix.rpartition("/")[0])
        found = (path.relative_to(self._objects).as_posix() for path in top.rglob("*") if path.is_file())
        yield from sorted(key for key in found if key.startswith(prefix))

    def delete(self, key: str) -> None:
        """Unlink the object."""
        self.path(key).unlink(missing_ok=True)

    def fault(self) -> str | None:
        """Try to write a file."""
        try:
            with self.incoming() as path:
                path.write_bytes(b"ready")
        except OSError as error:
            return f"{self.root} cannot be written: {error.strerror}."
        return None

    def _make_folder(self, folder: Path) -> None:
        """Make `folder`, and make sure that the entry of each new folder is on the disk, too."""
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
