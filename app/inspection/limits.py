"""The limits of a child process, and what a file is told that exceeds one."""

import ctypes
import resource
import signal
import sys
from contextlib import suppress
from typing import Literal

from ml.faults import Fault
from ml.frozen import Frozen
from ml.geo.memory import address_space

GRACE_S = 10  # a child that waits for the disk may take this much longer than its time on a core
OPEN_FILES = 64
_DEATH_SIGNAL, CHILD_SUBREAPER, _NO_NEW_PRIVS = 1, 36, 38  # of prctl
Limit = Literal["memory", "core", "time", "disk", "answer", "crash"]


class Limits(Frozen):
    """The limits of one child process.

    memory_bytes: Bytes of memory that it may use beside what every child has from the start.
    core_s: Seconds on a core. Altogether it may take `GRACE_S` seconds more.
    disk_bytes: Largest file that it may write. answer_bytes: Longest answer.
    """

    memory_bytes: int
    core_s: int
    disk_bytes: int = 0
    answer_bytes: int = 8 << 20

    @property
    def wall_s(self) -> float:
        """Seconds after which the process is killed."""
        return self.core_s + GRACE_S

    def apply(self) -> None:
        """Limit this process, for ever. It also loses the right to gain privileges, and dies with its parent."""
        prctl(_NO_NEW_PRIVS, 1)
        prctl(_DEATH_SIGNAL, signal.SIGKILL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it, and GDAL would call the disk full
        _limit(resource.RLIMIT_CORE, 0)
        _limit(resource.RLIMIT_NOFILE, OPEN_FILES)
        _limit(resource.RLIMIT_FSIZE, self.disk_bytes)
        _limit(resource.RLIMIT_CPU, self.core_s, self.core_s + 1)  # SIGXCPU, then SIGKILL
        _limit(resource.RLIMIT_AS, address_space() + self.memory_bytes)

    def fault(self, limit: Limit, why: str = "") -> Fault:
        """The fault of a file that exceeds a limit. why: A detail of a crash, as the end of a sentence."""
        mebibytes = self.memory_bytes >> 20
        detail, hint = {
            "memory": (f"takes over {mebibytes:,} MiB of memory", _SMALLER.format("CANEMAP_INSPECTION_MEMORY_BYTES")),
            "core": (f"takes over {self.core_s} s of computing", _SMALLER.format("CANEMAP_INSPECTION_S")),
            "time": (f"takes over {self.wall_s:g} s", _SMALLER.format("CANEMAP_INSPECTION_S")),
            "disk": (f"writes over {self.disk_bytes:,} bytes", _SMALLER.format("CANEMAP_INSPECTION_S")),
            "answer": ("gives a longer description than any usable file has", _AGAIN),
            "crash": (f"makes the reader {why or 'crash'}", _AGAIN),
        }[limit]
        return Fault("inspection_limit", f"Reading the file {detail}.", hint)


_SMALLER = (
    "Send a simpler file: fewer bands or smaller blocks, or several layers with fewer features, points and attributes. "
    "Whoever operates the service can raise {}."
)
_AGAIN = "The file is damaged, or was made to do harm. Export it again, if possible with another program."


def _limit(kind: int, soft: int, hard: int | None = None) -> None:
    """Set a limit, but never above one that is in force already."""
    _, most = resource.getrlimit(kind)
    wanted = soft if hard is None else hard
    hard = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
    with suppress(ValueError, OSError):  # macOS has no limit of the address space
        resource.setrlimit(kind, (min(soft, hard), hard))


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process, on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, *map(ctypes.c_ulong, (value, 0, 0, 0)))
