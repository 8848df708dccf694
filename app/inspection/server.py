"""The process from which children are forked: `python -P -m app.inspection.server`.

It has imported and used everything that a child needs, and one spare child waits for work: so an inspection begins in
milliseconds. This process never reads a file of a stranger.

Its standard input is a Unix socket. For each child it receives the number of seconds that the child may take, with two
file descriptors: the child's connection to whoever asks, and a pipe. When the child has ended it writes to the pipe how
that happened, as `ENDED`. It kills all children and ends when the socket is closed.
"""

from app.core import calm_start  # noqa: F401

# isort: split

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
from pathlib import Path

from app.inspection.child import run
from app.inspection.forking import fork
from app.inspection.limits import CHILD_SUBREAPER, prctl
from app.inspection.warm_up import warm_up

SECONDS = struct.Struct("=d")
ENDED = struct.Struct("=i?")  # exit code, negative if a signal ended the child; whether it was killed for its time


@dataclass
class _Child:
    """A running child. report: the pipe to report its end to. deadline: by the monotonic clock."""

    report: int
    deadline: float
    overdue: bool = False


@dataclass
class _Spare:
    """A child that waits for work. door: where it is given its connection to whoever asks."""

    pid: int
    door: socket.socket


class Server:
    """Forks children on request, and kills those that take too long. control: where requests come from."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: dict[int, _Child] = {}
        self._spare: _Spare | None = None
        self._ended, self._wake = socket.socketpair()  # readable as soon as a child has ended

    def serve(self) -> None:
        """Serve until `control` is closed at its other end."""
        self._wake.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        is_open = True
        self._fork_spare()
        while is_open:
            ready, _, _ = select.select([self._control, self._ended], [], [], self._patience())
            if self._ended in ready:
                self._ended.recv(1 << 12)
            if self._control in ready:
                is_open = self._receive()
            self._kill_overdue()
            self._reap()
        signal.set_wakeup_fd(-1)  # its socket may be closed before the last child has ended
        for pid in self._children:
            _kill(pid)  # a spare ends by itself

    def _receive(self) -> bool:
        """Give the requested work to a child; returns False at the end of the socket."""
        message, received, _, _ = socket.recv_fds(self._control, SECONDS.size, 2)
        if len(message) < SECONDS.size:
            return False
        conversation, report = received
        (seconds,) = SECONDS.unpack(message)
        pid = self._hand_over(conversation)
        os.close(conversation)
        self._children[pid] = _Child(report, time.monotonic() + seconds)
        self._fork_spare()
        return True

    def _hand_over(self, conversation: int) -> int:
        """Give a connection to the spare child, or to a new one if it has died; returns its process id."""
        spare = self._spare or self._fork_spare()
        self._spare = None
        with spare.door:
            try:
                socket.send_fds(spare.door, [b"."], [conversation])
            except BrokenPipeError:
                return self._hand_over(conversation)
        return spare.pid

    def _fork_spare(self) -> _Spare:
        ours, its = socket.socketpair()
        with its:
            pid = fork()
            if pid == 0:
                ours.close()
                self._close()
                run(its)
        self._spare = _Spare(pid, ours)
        return self._spare

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
        with suppress(ChildProcessError):  # there is no child
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                self._report(*found)

    def _report(self, pid: int, status: int) -> None:
        """Tell whoever asked how a child has ended."""
        child = self._children.pop(pid, None)
        if child is None:  # a spare that something else has killed, or a stray
            self._spare = None if self._spare and self._spare.pid == pid else self._spare
            self._kill_strays()
            return
        _kill_group(pid)  # of processes that it may have started
        self._kill_strays()
        with suppress(BrokenPipeError):  # whoever asked waits no longer
            os.write(child.report, ENDED.pack(os.waitstatus_to_exitcode(status), child.overdue))
        os.close(child.report)

    def _kill_strays(self) -> None:
        """Kill processes that a child started in a group of their own: this process has inherited them."""
        known = {*self._children, self._spare.pid if self._spare else 0}
        with suppress(OSError):  # a kernel without this file, or a stray that has just ended
            here = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
            for pid in set(map(int, here.split())) - known:
                os.kill(pid, signal.SIGKILL)


def _kill(pid: int) -> None:
    """Kill a child that was not reaped yet, so that no other process has its number."""
    _kill_group(pid)
    os.kill(pid, signal.SIGKILL)


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # it is no group yet, or all of its processes have ended
        os.killpg(pid, signal.SIGKILL)


def main() -> None:
    """Serve the socket that is the standard input."""
    prctl(CHILD_SUBREAPER, 1)
    warm_up()
    gc.collect()
    gc.freeze()  # a collection in a child would copy the memory of everything that is imported here
    Server(socket.socket(fileno=sys.stdin.fileno())).serve()


if __name__ == "__main__":
    main()
