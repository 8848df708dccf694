"""Copies the files of a store into a folder, and back. A backup also needs a copy of the database."""

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from app.core.errors import Damaged
from app.storage import Store, sha256_of
from app.storage.owners import owner_of
from app.storage.store import sha256_in

# Not copied: after a restore, a job that was running starts from the beginning, and so does an unfinished upload.
TEMPORARY = ("resume/", "uploads/")


def save(store: Store, folder: Path) -> Iterator[tuple[str, str]]:
    """Copy every file of the store into `folder` under its key, unless the folder has it already.

    Yields the key of each file, and "" or what is wrong with the file. A damaged file is not copied.
    """
    for key in store.keys(""):
        target = folder / key
        if key.startswith(TEMPORARY) or target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".part-{secrets.token_hex(8)}")
        try:
            with TemporaryDirectory(dir=folder) as temporary:
                shutil.copyfile(store.take(key, Path(temporary)), part)
            part.replace(target)
            yield key, ""
        except Damaged as error:  # a backup of all other files is better than none
            yield key, error.detail
        finally:
            part.unlink(missing_ok=True)


def restore(folder: Path, store: Store) -> Iterator[tuple[str, str]]:
    """Put every file of `folder`, as `save` made it, into the store under the key that it had.

    Yields the key of each file, and "" or what is wrong with the file. A damaged file is not stored.
    """
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")):
        key = path.relative_to(folder).as_posix()
        try:
            sha256 = sha256_in(key)
            if sha256_of(path) != sha256:
                detail = f"The copy of {key!r} is damaged: it was not put into the store."
                raise Damaged("damaged-object", detail, owner_of(key))
            store.put(path, str(PurePosixPath(key).with_name(path.name.partition("-")[2])), sha256=sha256)
            yield key, ""
        except Damaged as error:
            yield key, error.detail
