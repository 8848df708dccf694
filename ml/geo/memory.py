"""A limit of the memory that reading one file may take in this process."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ml.faults import Fault, InputRefused


@contextmanager
def memory_within(more_bytes: int | None) -> Iterator[None]:
    """Let this process take at most `more_bytes` more in the block than it has now; None means no limit.

    Raises:
        InputRefused: inspection_limit if the block needs more.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = None if more_bytes is None else address_space() + more_bytes
    if most is not None and (soft == resource.RLIM_INFINITY or most < soft):
        with suppress(ValueError, OSError):  # macOS has no limit of the address space
            resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    try:
        yield
    except Exception as error:
        if more_bytes is None or not _lacks_memory(error):
            raise
        hint = "Split it into several layers with fewer features, points and attributes."
        detail = f"Reading the file takes over {more_bytes >> 20:,} MiB of memory."
        raise InputRefused(Fault("inspection_limit", detail, hint)) from None
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def address_space() -> int:
    """Bytes of the address space of this process, most of which are libraries; 0 where they cannot be told."""
    with suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _lacks_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "bad_alloc" in str(error)  # so GEOS calls it
