"""Small disks that can be full."""

import os
import shutil
import subprocess
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest

# a file system of its own, seen by the command alone: as an ordinary user in a namespace one may mount a tmpfs
_NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec"]
_SCRIPT = 'mkdir -p "$0"; mount -t tmpfs -o size={}m none "$0"; exec "$@"'


def on_a_small_disk(folder: Path, megabytes: int) -> list[str | Path]:
    """What to put before a command to run it where `folder` is an empty disk of this size; skips where none can be."""
    within: list[str | Path] = [*_NAMESPACE, _SCRIPT.format(megabytes), folder]
    if subprocess.run([*within, "true"], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    return within


def fill(path: Path, leave_bytes: int = 0) -> None:
    """Write a file until the disk has no more room, or so much."""
    with path.open("wb", buffering=0) as file:
        taken = max(shutil.disk_usage(path.parent).free - leave_bytes, 0) // 4096 * 4096
        with nullcontext() if leave_bytes else suppress(OSError):  # others may be quicker: what is left is taken below
            os.posix_fallocate(file.fileno(), 0, max(taken, 1))
        file.seek(0, os.SEEK_END)
        if not leave_bytes:
            with pytest.raises(OSError, match="No space left"):
                while True:
                    file.write(bytes(4096))
