"""Files that a process which was killed could not remove."""

import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_SECONDS = 86_400  # an upload that stalls is ended long before


def remove_leftovers(paths: Iterable[Path]) -> None:
    """Remove those of `paths` that nobody has written to for a day."""
    for path in paths:
        with suppress(FileNotFoundError):  # whose it is has removed it just now
            if time.time() - path.stat().st_mtime > _SECONDS:
                path.unlink()
