"""The log file of `canemap up`, which all its processes append to, and which does not grow without bound."""

import os
import shutil
from pathlib import Path

LIMIT_BYTES = 20 * 1024**2
LAST_BYTES = 8192


def keep_small(path: Path, limit_bytes: int = LIMIT_BYTES) -> None:
    """Move the content of a log that is over `limit_bytes` to a file beside it, whose name ends in .1.

    The file itself stays, because the processes that append to it have it open. A line that is written between the copy
    and the truncation is lost.
    """
    if path.exists() and path.stat().st_size > limit_bytes:
        shutil.copyfile(path, path.with_name(f"{path.name}.1"))
        os.truncate(path, 0)


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a log, at most `count`; none if there is no log."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LAST_BYTES))
        return file.read().decode(errors="replace").splitlines()[-count:]
