"""Locks between the threads and processes of a machine: files that somebody holds. Those of the dead are free."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_WITHOUT_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock `path` during the block, and wait for it before. Its file is deleted with it.

    A file system without locks gives none: whoever uses this does only more work then.
    """
    file = _held(path)
    try:
        yield
        path.unlink(missing_ok=True)  # while it is held: whoever waits for it finds that it is gone, and makes another
    finally:
        os.close(file)


def _held(path: Path) -> int:
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is(file, path):
                return file
        except OSError as error:
            if error.errno in _WITHOUT_LOCKS:
                return file
            os.close(file)
            raise
        os.close(file)


def _is(file: int, path: Path) -> bool:
    """Whether an open file is the one at `path`, and not one that was deleted meanwhile."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False
