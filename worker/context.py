"""The context of a claimed job in the process that does it: reports of progress, requests to stop, and the outcome."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path

import structlog
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.core.columns import now
from app.core.db import Database
from app.jobs import claims
from app.storage import Stored
from ml.progress import Progress, Stopped
from worker.gpu_use import used_by_this_process

REPORT_S = 0.2  # least time between two reports of progress within a stage
LOG_S = 2.0  # least time between two writes of the job's log
log = structlog.get_logger()


class Dismissed(Stopped):
    """The job was dismissed."""


class Released(Stopped):
    """This worker is being stopped, so it gives the unfinished job back."""


class Abandoned(Stopped):
    """The claim is no longer valid, or must be assumed to be invalid: publish nothing."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a job that succeeded.

    record: Writes the result. It is called with the stored files, in the transaction that also ends the job, so either
        everything is recorded or nothing.
    files: Paths of the files in the scratch folder, by name.
    place: Place of the files in the store; None for the usual place of results.
    """

    record: Callable[[Session, Mapping[str, Stored]], None]
    files: Mapping[str, Path] = field(default_factory=dict)
    place: str | None = None


class JobContext:
    """A claimed job and the connection to its supervisor. The work calls `watch`, which raises when it must stop."""

    def __init__(self, database: Database, claim: claims.Claim, supervisor: Connection) -> None:
        """Make the context of a job.

        supervisor: Connection that receives `Progress` and sends a subclass of `Stopped`. When the supervisor closes
            it, this process ends.
        """
        self.claim = claim
        self.progress: Progress | None = None
        self.on_values: Callable[[Session, Progress], None] | None = None
        self._database = database
        self._supervisor = supervisor
        self._reason: type[Stopped] | None = None
        self._ended = self._names_gpu = False
        self._reported = self._logged = 0.0
        self._lines: list[tuple[datetime, str]] = []

    def watch(self, progress: Progress) -> None:
        """Report progress to the supervisor and write its log and values. Raises `Stopped` when the work must stop."""
        if self._reason:
            raise self._reason
        self._report(progress)
        self.progress = progress
        if not self._names_gpu and (used := used_by_this_process()):
            self._names_gpu = True
            self.log(f"uses {used}")
        if progress.note:
            self.log(progress.note)
        if progress.values and self.on_values:
            self._record(progress)
        elif self._lines and time.monotonic() - self._logged > LOG_S:
            self._write_log()

    def log(self, text: str) -> None:
        """Add a line to the log of the job. It is written later."""
        self._lines.append((now(), text))

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction that also writes the waiting lines of the log. If it fails, they stay and wait."""
        with self._database.write() as session:
            yield session
            logged = len(self._lines)
            claims.log(session, self.claim, self._lines)
        del self._lines[:logged]
        self._logged = time.monotonic()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Receive requests to stop in a thread during the block, so that they arrive in the middle of a long step, too.

        The thread ends this process when its supervisor has died.
        """
        threading.Thread(target=self._listen, name="supervisor", daemon=True).start()
        try:
            yield
        finally:
            self._ended = True

    def _listen(self) -> None:
        try:
            while True:
                self._reason = self._supervisor.recv()
        except (EOFError, OSError):
            if not self._ended:
                os._exit(1)  # the supervisor has died: it sends no heartbeats, and another worker will claim the job

    def _report(self, progress: Progress) -> None:
        last = self.progress
        if last is None or progress.stage != last.stage:
            self.log(f"{progress.stage}: {progress.total} to do")
        elif progress.file == last.file and progress.done < progress.total and self._has_just_reported():
            return
        self._reported = time.monotonic()
        self._supervisor.send(progress)

    def _has_just_reported(self) -> bool:
        return time.monotonic() - self._reported < REPORT_S

    def _record(self, progress: Progress) -> None:
        with self.writing() as session:
            try:
                claims.beat(session, self.claim, None, None)  # raises Lost without a valid claim: nothing is written
            except claims.Lost:
                raise Abandoned from None
            if self.on_values:
                self.on_values(session, progress)

    def _write_log(self) -> None:
        try:
            with self.writing():
                pass
        except OperationalError as error:  # the database may become available again in time
            log.warning("the job's log could not be written", error=str(error))
