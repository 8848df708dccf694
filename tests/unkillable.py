"""A process that SIGKILL does not remove, as one that is stuck in a driver."""

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PTRACE_SEIZE, WAIT_FOR_ALL = 0x4206, 0x40000000


@contextmanager
def kept_by_the_kernel(pid: int) -> Iterator[None]:
    """Trace a descendant of this process: after SIGKILL it stays until the block ends, and its parent learns of no end.

    The whole block must run in one thread. The process is killed at its end, if it was not before.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(PTRACE_SEIZE, pid, None, None):
        raise ProcessLookupError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        while os.WIFSTOPPED(os.waitpid(pid, WAIT_FOR_ALL)[1]):
            pass
