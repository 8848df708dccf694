"""The process from which children are forked: `python -P -m app.inspection.server`.

It has imported and used everything that a child needs, so a child starts in milliseconds. It never reads a file of a
stranger.

Its standard input is a Unix socket. For each child it receives the number of seconds that the child may take, with two
file descriptors: the child's connection to whoever asks, and a pipe. When the child has ended it writes to the pipe how
that happened, as `ENDED`. It kills all children and ends when the socket is closed.
"""

import gc
import os
import select
import signal
import socket
import struct
import sys
import time
from contextlib import suppress
from dataclasses import dataclass

from app.inspection.child import run
from app.inspection.warm_up import warm_up

SECONDS = struct.Struct("=d")
ENDED = struct.Struct("=i?")  # exit code, negative if a signal ended the child; whether it was killed for its time


@dataclass
class _Child:
    """A running child. report: the pipe to report its end to. deadline: by the monotonic clock."""

    report: int
    deadline: float
    overdue: bool = False


class Server:
    """Forks children on request, and kills those that take too long. control: where requests come from."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: dict[int, _Child] = {}
        self._ended, self._wake = socket.socketpair()  # readable as soon as a child has ended

    def serve(self) -> None:
        """Serve until `control` is closed at its other end."""
        self._wake.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        is_open = True
        while is_open:
            ready, _, _ = select.select([self._control, self._ended], [], [], self._patience())
            if self._ended in ready:
                self._ended.recv(1 << 12)
            if self._control in ready:
                is_open = self._receive()
            self._kill_overdue()
            self._reap()
        for pid in self._children:
            _kill(pid)

    def _receive(self) -> bool:
        """Start the child that is requested; returns False at the end of the socket."""
        message, received, _, _ = socket.recv_fds(self._control, SECONDS.size, 2)
        if len(message) < SECONDS.size:
            return False
        conversation, report = received
        (seconds,) = SECONDS.unpack(message)
        with socket.socket(fileno=conversation) as connection:
            pid = os.fork()
            if pid == 0:
                os.close(report)
                self._close()
                run(connection)
        self._children[pid] = _Child(report, time.monotonic() + seconds)
        return True

    def _close(self) -> None:
        """Close, in a child, whatever belongs to this process or to other children. Libraries keep their files open."""
        for connection in (self._control, self._ended, self._wake):
            connection.close()
        for child in self._children.values():
            os.close(child.report)

    def _patience(self) -> float | None:
        """Seconds until the next child is overdue; None if there is no child."""
        running = [child.deadline for child in self._children.values() if not child.overdue]
        return max(0.0, min(running) - time.monotonic()) if running else None

    def _kill_overdue(self) -> None:
        for pid, child in self._children.items():
            if not child.overdue and time.monotonic() >= child.deadline:
                child.overdue = True
                _kill(pid)

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            child = self._children.pop(pid)
            _kill_group(pid)  # of processes that it may have started
            with suppress(BrokenPipeError):  # whoever asked waits no longer
                os.write(child.report, ENDED.pack(os.waitstatus_to_exitcode(status), child.overdue))
            os.close(child.report)


def _kill(pid: int) -> None:
    """Kill a child that was not reaped yet, so that no other process has its number."""
    _kill_group(pid)
    os.kill(pid, signal.SIGKILL)


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # it is no group yet, or all of its processes have ended
        os.killpg(pid, signal.SIGKILL)


def main() -> None:
    """Serve the socket that is the standard input."""
    with suppress(OSError):  # there may be no folder for temporary files
        warm_up()
    gc.collect()
    gc.freeze()  # a collection in a child would copy the memory of everything that is imported here
    Server(socket.socket(fileno=sys.stdin.fileno())).serve()


if __name__ == "__main__":
    main()
