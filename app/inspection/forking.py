"""Forks a process whose libraries keep what they have read and opened.

After a fork by `os.fork`, GDAL and PROJ close their databases, because processes that share an open file share the
place where the next read begins. To open them again takes 30 ms of computing, in each child. `_Fork` (POSIX of 2024,
glibc 2.34, musl 1.2.3) does not tell libraries of the fork. So the child itself opens these files again, under the
same numbers: this takes microseconds, and what the libraries have read stays in their memory.
"""

import ctypes
import os
import stat
import sys
from pathlib import Path

_OPEN_FILES = Path("/proc/self/fd")
_LIBC = ctypes.PyDLL(None, use_errno=True)  # keeps the interpreter's lock, as a fork must
LIBRARIES_STAY = sys.platform == "linux" and hasattr(_LIBC, "_Fork")  # otherwise a child must warm them up again


def fork() -> int:
    """Fork this process, which must have no other thread; returns the id of the child, and 0 in the child.

    Raises `OSError` if there are too many processes, or too little memory.
    """
    if not LIBRARIES_STAY:
        return os.fork()
    ctypes.pythonapi.PyOS_BeforeFork()
    pid: int = _LIBC._Fork()
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        _open_files_again()
        return 0
    error = ctypes.get_errno()
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(error, os.strerror(error))
    return pid


def _open_files_again() -> None:
    """Give each file that is open for reading a position of its own, which no other process moves."""
    for path in _OPEN_FILES.iterdir():
        number = int(path.name)
        if _is_read_file(number):
            again = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            os.dup2(again, number, inheritable=False)
            os.close(again)


def _is_read_file(number: int) -> bool:
    try:
        return stat.S_ISREG(os.fstat(number).st_mode)
    except OSError:  # this number was that of the listing itself
        return False
