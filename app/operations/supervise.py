"""Child processes of one command: started, restarted when they crash, and ended with it, also on kill -9.

Each child holds the reading end of a pipe as its standard input. Whatever ends the parent closes the other end, and
`die_with_parent` in the child sees that: no signal, no process group and no operating system's special call needed.
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
HEALTHY_S = 60.0  # who has lived for so long is restarted without a pause
LOOK_S = 0.2  # how often to look whether a child has ended
STDERR = 2
log = structlog.get_logger()


def die_with_parent() -> None:
    """End this process, first gently, when its standard input ends."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_S)
        os._exit(1)

    threading.Thread(target=wait, name="die-with-parent", daemon=True).start()


@dataclass
class Child:
    """One child process, started anew when it crashes."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause_s: float = 0.0
    due: float = 0.0

    def tend(self, environment: Mapping[str, str], output: IO[bytes] | None) -> None:
        """Start it if it does not run and its pause is over; `output` takes what it says, by default standard error."""
        if self.process is not None and self.process.poll() is not None:
            self._note_crash(self.process.returncode)
            self._let_go()
        if self.process is None and time.monotonic() >= self.due:
            # a session of its own: Ctrl-C reaches the parent alone, which ends its children in order
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=output or STDERR,  # standard output is the parent's own: it may be read as JSON
                stderr=output,
                env=dict(environment),
                start_new_session=True,
            )
            self.started = time.monotonic()

    def end(self, deadline: float) -> None:
        """Wait for it to end until `deadline`, then end it."""
        if self.process is None:
            return
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._let_go()

    def _let_go(self) -> None:
        if self.process and self.process.stdin:
            self.process.stdin.close()
        self.process = None

    def _note_crash(self, status: int) -> None:
        lived_s = time.monotonic() - self.started
        self.pause_s = 0.5 if lived_s > HEALTHY_S else min(LONGEST_PAUSE_S, max(0.5, 2 * self.pause_s))
        self.due = time.monotonic() + self.pause_s
        log.warning("child ended, will start it again", child=self.name, status=status, pause_s=self.pause_s)


@dataclass
class Supervisor:
    """Keeps children running for the length of a `with` block."""

    children: Sequence[Child]
    environment: Mapping[str, str]
    output: IO[bytes] | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Start all children."""
        self._thread = start_every(LOOK_S, self._tend, self._stop, name="supervisor")
        return self

    def __exit__(self, *_: object) -> None:
        """End all children: SIGTERM, and SIGKILL for those that have not ended after the grace."""
        self._stop.set()
        if self._thread:
            self._thread.join()
        for child in self.children:
            if child.process:
                child.process.terminate()
        deadline = time.monotonic() + GRACE_S
        for child in self.children:
            child.end(deadline)

    def _tend(self) -> None:
        for child in self.children:
            child.tend(self.environment, self.output)
