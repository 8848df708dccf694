"""Small disks that tests can fill."""

import os
import shutil
import subprocess
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest

# mounts a tmpfs that only the command sees: in its own namespace an ordinary user may do that
_NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec"]
_SCRIPT = 'mkdir -p "$0"; mount -t tmpfs -o size={}m,nr_inodes={} none "$0"; exec "$@"'


def on_a_small_disk(folder: Path, megabytes: int, files: int = 0) -> list[str | Path]:
    """The arguments before a command that run it where `folder` is an empty disk of `megabytes`.

    files: Number of files and folders that it can hold; 0 for any number.

    The test is skipped where no such disk can be mounted.
    """
    within: list[str | Path] = [*_NAMESPACE, _SCRIPT.format(megabytes, files), folder]
    if subprocess.run([*within, "true"], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    return within


def fill(path: Path, leave_bytes: int = 0) -> None:
    """Write a file until the disk has only `leave_bytes` of room left."""
    with path.open("wb", buffering=0) as file:
        size = max(shutil.disk_usage(path.parent).free - leave_bytes, 0) // 4096 * 4096
        with nullcontext() if leave_bytes else suppress(OSError):  # others may be quicker; the rest is filled below
            os.posix_fallocate(file.fileno(), 0, max(size, 1))
        file.seek(0, os.SEEK_END)
        if not leave_bytes:
            with pytest.raises(OSError, match="No space left"):
                while True:
                    file.write(bytes(4096))
