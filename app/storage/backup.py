"""The files of a store as a folder, and back: half of a backup; the other half is the database's own."""

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from app.core.errors import Damaged
from app.storage import Store, sha256_of
from app.storage.store import sha256_in

PASSING = ("resume/",)  # gone before the copy is needed: a job that was at work starts afresh


def save(store: Store, folder: Path) -> Iterator[tuple[str, str]]:
    """Copy every file into `folder` under its key, unless it is there: (key, "" or what is wrong with it)."""
    for key in store.keys(""):
        target = folder / key
        if key.startswith(PASSING) or target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".part-{secrets.token_hex(8)}")
        try:
            with TemporaryDirectory(dir=folder) as passing:
                shutil.copyfile(store.take(key, Path(passing)), part)
            part.replace(target)
            yield key, ""
        except Damaged as error:  # a backup of all the others is better than none
            yield key, error.detail
        finally:
            part.unlink(missing_ok=True)


def restore(folder: Path, store: Store) -> Iterator[tuple[str, str]]:
    """Put every file of `folder` into the store, under the key it had: (key, "" or what is wrong with it)."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")):
        key = path.relative_to(folder).as_posix()
        try:
            sha256 = sha256_in(key)
            if sha256_of(path) != sha256:
                raise Damaged("damaged-object", f"The copy of {key!r} is damaged: it was not put into the store.")
            store.put(path, str(PurePosixPath(key).with_name(path.name.partition("-")[2])), sha256=sha256)
            yield key, ""
        except Damaged as error:
            yield key, error.detail
