"""A claimed job as the process sees that does it: what it tells, the signs to stop that it obeys, and what it made."""

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
from app.jobs import lifecycle
from app.storage import Stored
from ml.progress import Progress, Stopped

TELL_S = 0.2  # at least, between two reports of progress within a stage
LOG_S = 2.0  # at least, between two writes of the job's log
log = structlog.get_logger()


class Dismissed(Stopped):
    """Somebody dismissed the job."""


class Released(Stopped):
    """This worker is being stopped: the job goes back, unfinished."""


class Abandoned(Stopped):
    """The job is, or must be taken to be, somebody else's: publish nothing."""


@dataclass(frozen=True)
class Outcome:
    """What a piece of work made.

    files: name -> file in the scratch folder. record: called with what the store made of them, in the
    transaction that also ends the job: everything is recorded, or nothing. place: where in the store, if not where
    results lie.
    """

    record: Callable[[Session, Mapping[str, Stored]], None]
    files: Mapping[str, Path] = field(default_factory=dict)
    place: str | None = None


class JobContext:
    """The right to work on one job. `watch` is what the work calls; it raises as soon as the work must stop."""

    def __init__(self, database: Database, claim: lifecycle.Claim, supervisor: Connection) -> None:
        """keeper: takes `Progress` and gives a class of `Stopped`; when it ends, so does this process."""
        self.claim = claim
        self.progress: Progress | None = None
        self.on_values: Callable[[Session, Progress], None] | None = None
        self._database = database
        self._keeper = supervisor
        self._reason: type[Stopped] | None = None
        self._ended = False
        self._told = self._logged = 0.0
        self._lines: list[tuple[datetime, str]] = []

    def watch(self, progress: Progress) -> None:
        """Take note of progress; raises a kind of `Stopped` when the work must end."""
        if self._reason:
            raise self._reason
        self._tell(progress)
        self.progress = progress
        if progress.note:
            self.log(progress.note)
        if progress.values and self.on_values:
            self._record(progress)
        elif self._lines and time.monotonic() - self._logged > LOG_S:
            self._write_log()

    def log(self, text: str) -> None:
        """A line for the job's own log."""
        self._lines.append((now(), text))

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction that writes the waiting lines of the log, too; if it fails, they go on waiting."""
        with self._database.write() as session:
            yield session
            logged = len(self._lines)
            lifecycle.log(session, self.claim, self._lines)
        del self._lines[:logged]
        self._logged = time.monotonic()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hear the signs to stop in a thread of its own: also in the middle of a long step, and that of an orphan."""
        threading.Thread(target=self._listen, name="keeper", daemon=True).start()
        try:
            yield
        finally:
            self._ended = True

    def _listen(self) -> None:
        try:
            while True:
                self._reason = self._keeper.recv()
        except (EOFError, OSError):
            if not self._ended:
                os._exit(1)  # our keeper died: nobody beats for us, and the job will be somebody else's

    def _tell(self, progress: Progress) -> None:
        if self.progress is None or progress.stage != self.progress.stage:
            self.log(f"{progress.stage}: {progress.total} to do")
        elif time.monotonic() - self._told < TELL_S and progress.done < progress.total:
            return
        self._told = time.monotonic()
        self._keeper.send(progress)

    def _record(self, progress: Progress) -> None:
        with self.writing() as session:
            try:
                lifecycle.beat(session, self.claim, None, None)  # the fence: Lost rolls the values back
            except lifecycle.Lost:
                raise Abandoned from None
            if self.on_values:
                self.on_values(session, progress)

    def _write_log(self) -> None:
        try:
            with self.writing():
                pass
        except OperationalError as error:  # the database may come back in time
            log.warning("no line of the log was written", error=str(error))
