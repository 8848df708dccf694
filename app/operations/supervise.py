"""The child processes of one command. They are restarted when they crash, and end with the command, also on kill -9.

Each child has the reading end of a pipe as its standard input. However the parent ends, the other end of the pipe is
closed, and `die_with_parent` in the child notices that. This needs no signal, no process group and no special call of
the operating system.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Self

import structlog

from app.core.periodic import start_every

GRACE_S = 20.0
LONGEST_PAUSE_S = 30.0
HEALTHY_S = 60.0  # a child that has lived longer than this is restarted after the shortest pause
POLL_S = 0.2  # how often to check whether a child has ended
STDERR = 2
log = structlog.get_logger()


def die_with_parent() -> None:
    """End this process when its standard input ends: by SIGTERM, and after `GRACE_S` seconds by force."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_S)
        os._exit(1)

    threading.Thread(target=wait, name="die-with-parent", daemon=True).start()


@dataclass
class Child:
    """A child process that is restarted when it ends.

    pass_fds: open files of this process that the child has, too, under the same numbers.
    variables: what its environment has beside that of the others. crashes: how often it ended.
    started: when it was started last. due: when it may be started again. Both by the monotonic clock, in seconds.
    """

    name: str
    command: Sequence[str]
    pass_fds: tuple[int, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    crashes: int = 0
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause_s: float = 0.0
    due: float = 0.0

    def start_if_due(self, environment: Mapping[str, str], output: IO[bytes] | None) -> None:
        """Start the process if it is not running and its pause is over.

        output: File for its standard output and standard error; by default the standard error of this process.
        """
        if self.process is not None and self.process.poll() is not None:
            self._note_crash(self.process.returncode)
            self._release()
        if self.process is None and time.monotonic() >= self.due:
            # in a new session, Ctrl-C reaches only the parent, which ends its children in order
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=output or STDERR,  # only the parent writes to standard output, which may be read as JSON
                stderr=output,
                env={**environment, **self.variables},
                start_new_session=True,
                pass_fds=self.pass_fds,
            )
            self.started = time.monotonic()

    def end(self, deadline: float) -> None:
        """Wait until the process has ended, and kill it at `deadline`, by the monotonic clock."""
        if self.process is None:
            return
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._release()

    def _release(self) -> None:
        if self.process and self.process.stdin:
            self.process.stdin.close()
        self.process = None

    def _note_crash(self, status: int) -> None:
        self.crashes += 1
        lived_s = time.monotonic() - self.started
        self.pause_s = 0.5 if lived_s > HEALTHY_S else min(LONGEST_PAUSE_S, max(0.5, 2 * self.pause_s))
        self.due = time.monotonic() + self.pause_s
        log.warning("a child process ended, will start it again", child=self.name, status=status, pause_s=self.pause_s)


@dataclass
class Supervisor:
    """Keeps child processes running during a `with` block."""

    children: Sequence[Child]
    environment: Mapping[str, str]
    output: IO[bytes] | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Start all children."""
        self._thread = start_every(POLL_S, self._check_children, self._stop, name="supervisor")
        return self

    def __exit__(self, *_: object) -> None:
        """End all children by SIGTERM, and by SIGKILL those that have not ended after `GRACE_S` seconds."""
        self._stop.set()
        if self._thread:
            self._thread.join()
        for child in self.children:
            if child.process:
                child.process.terminate()
        deadline = time.monotonic() + GRACE_S
        for child in self.children:
            child.end(deadline)

    def _check_children(self) -> None:
        for child in self.children:
            child.start_if_due(self.environment, self.output)
